"""Undo the content coding of a response (RFC 9110 8.4). No I/O.

An object store keeps Content-Encoding as the text that came with the upload: `aws-chunked`, `UTF-8`, `none`, or
nothing at all. Browsers and this edge ignore such words. gzip is undone, because many objects are stored so, whatever
the request accepts. The other registered codings are refused.
"""

from __future__ import annotations

import zlib

from service.errors import OriginBroken

_GZIP = {"gzip", "x-gzip"}  # RFC 9110 8.4.1.3: both names mean the same
# The IANA registry of content codings, without gzip and `identity`.
_REFUSED = frozenset(
    ("aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress", "zstd")
)
_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952 2.3.1
_MEMBER = 16 + zlib.MAX_WBITS  # tells zlib to read one gzip member
LAYERS_CAP = 2
"""The maximum number of times that a file may be compressed with gzip (assumed: by the uploader, and again by a
proxy)."""


def gzip_layers(field: str) -> int:
    """Return how often the body is compressed with gzip, according to a Content-Encoding field.

    Several field lines must have been joined with commas. Raises OriginBroken for other codings.
    """
    codings = [element.strip().lower() for element in field.split(",")]
    if refused := _REFUSED.intersection(codings):
        raise OriginBroken(f"the origin sent the file with the content coding {min(refused)}, which is not supported")
    layers = sum(coding in _GZIP for coding in codings)
    if layers > LAYERS_CAP:
        raise OriginBroken(f"the origin compressed the file {layers} times with gzip; the limit is {LAYERS_CAP}")
    return layers


def decompress(body: bytes, layers: int, *, cap_bytes: int) -> bytes:
    """Decompress a body that is compressed with gzip `layers` times. Stops one byte after `cap_bytes`.

    A body without the first bytes of gzip is returned unchanged: the field is wrong then, not the file. Bytes after the
    first gzip member are ignored, as in Chrome. Raises OriginBroken if the body is damaged or truncated.
    """
    for _ in range(layers):
        if len(body) > cap_bytes or not body.startswith(_GZIP_MAGIC):
            break
        body = _decompress(body, cap_bytes)
    return body


def _decompress(body: bytes, cap_bytes: int) -> bytes:
    member = zlib.decompressobj(wbits=_MEMBER)
    try:
        content = member.decompress(body, cap_bytes + 1)
    except zlib.error as error:
        raise OriginBroken(f"the origin sent a damaged gzip file: {error}") from error
    if not member.eof and len(content) <= cap_bytes:
        raise OriginBroken("the origin sent a truncated gzip file")
    return content
