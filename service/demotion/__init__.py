"""Replace the latents of cold records by smaller ones when the store is nearly full, so that fewer are evicted."""
