"""Better latents for pictures that are stored already."""
