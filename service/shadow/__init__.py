"""The shadow baseline: the hit ratio that the same memory would reach with picture files instead of latents."""
