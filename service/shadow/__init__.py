"""The shadow baseline: which hit ratio the same memory would have with picture files instead of latents."""
