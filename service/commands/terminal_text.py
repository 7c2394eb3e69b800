"""Make text of other machines and of files safe for a terminal, which takes some characters for commands."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text with every character that is not printable written as in Python, such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
