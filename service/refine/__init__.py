"""Searches for better latents of stored pictures."""
