"""For which heads better latents are searched for, as an operator writes it. No I/O."""

from __future__ import annotations

from models.readers import Readers

AUTO = "auto"
"""The 344 head in use, and a little of the 172 picture: the codec's own choice."""


def read_refine_for(text: str) -> Readers | None:
    """Return the heads with their weights, or None for the codec's own choice. Raises ReadersError."""
    return None if text.strip() == AUTO else Readers.read(text)
