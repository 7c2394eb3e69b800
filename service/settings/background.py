"""Parse the setting EDGE_BACKGROUND: the colour behind transparent pictures. No I/O."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def read_background(text: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour such as `ffffff`. Raises ValueError with a message for the operator."""
    if not re.fullmatch("#?[0-9a-fA-F]{6}", text):
        raise ValueError("the value must be six hexadecimal digits: red, green and blue, such as ffffff for white")
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _check(text: str) -> str:
    read_background(text)
    return text


Background = Annotated[str, AfterValidator(_check)]
"""The text of a colour that `read_background` accepts."""
