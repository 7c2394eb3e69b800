"""Write a source's pixels as a picture file, for an answer without a record. Makes no request and tries no encode."""

from __future__ import annotations

from models.bitstream import is_screen
from models.screen.choice import find_candidate
from service.render import image_file
from service.rules.negotiation import Wanted
from service.upstream.source import Prepared


def write(source: Prepared, wanted: Wanted, *, finds_screens: bool) -> bytes:
    """Return the pixels of the wanted size as a file of the wanted media type.

    A picture from a parent is written as a file of the parent's record: with sharp colours if it is a screen stream.
    With `finds_screens` (EDGE_SCREEN=auto), a picture of the origin is written so if it looks like a screen's.
    """
    pixels = source.of_size(wanted.size_px)
    if source.bitstream is not None:
        return image_file.write(pixels, wanted.media_type, is_screen=is_screen(source.bitstream))
    if finds_screens and find_candidate(source.high):
        return image_file.write_like_screen(pixels, wanted.media_type)
    return image_file.write(pixels, wanted.media_type)
