"""The setting EDGE_REFINE_FOR: the heads whose pictures a search improves. No I/O."""

from __future__ import annotations

from models.readers import Readers

AUTO = "auto"
"""The codec chooses: the 344 head in use, and with a small weight the 172 picture."""


def read_refine_for(text: str) -> Readers | None:
    """Return the heads with their weights, or None if the codec chooses. Raises ReadersError."""
    return None if text.strip() == AUTO else Readers.read(text)
