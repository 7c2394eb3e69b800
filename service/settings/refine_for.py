"""Parse the setting EDGE_REFINE_FOR: the heads whose pictures a search improves. No I/O."""

from __future__ import annotations

from models.readers import Readers

AUTO = "auto"
"""The default: search for the 344 head in use, and count the loss of the 172 picture a little."""


def read_refine_for(text: str) -> Readers | None:
    """Return the heads with their weights, or None for `auto`. Raises ReadersError if the text is malformed."""
    return None if text.strip() == AUTO else Readers.read(text)
