"""Search for better latents of stored pictures, which take fewer bytes or decode closer to the picture."""
