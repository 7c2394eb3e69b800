"""Cache tags: an origin names groups of pictures that can be purged together. No I/O, no clock.

`Cache-Tag` separates tags by commas (Cloudflare), `Surrogate-Key` by spaces (Fastly). An origin may send both.
Tags are case-sensitive.
"""

from __future__ import annotations

# Assumed: a record holds at most 64 tags of at most 255 bytes each.
TAGS_CAP = 64
TAG_CAP_BYTES = 255


def read_tags(*, cache_tag: str, surrogate_key: str) -> tuple[str, ...]:
    """Return the tags of both fields, without duplicates and in the order of the fields."""
    named = [*(name.strip() for name in cache_tag.split(",")), *surrogate_key.split()]
    return tuple(dict.fromkeys(name for name in named if name))


def tags_fit(tags: tuple[str, ...]) -> bool:
    """Return whether a record can hold all tags. If not, the picture must not be stored: no purge would find it."""
    return len(tags) <= TAGS_CAP and all(is_tag(name) for name in tags)


def is_tag(name: str) -> bool:
    """Return whether a record can hold this tag: 1 to 255 printable ASCII characters."""
    return 0 < len(name) <= TAG_CAP_BYTES and name.isascii() and name.isprintable() and name == name.strip()


def write_tags(tags: tuple[str, ...]) -> dict[str, str]:
    """Return the Cache-Tag and Surrogate-Key fields that send these tags to a child edge; `read_tags` parses them."""
    # Tags with commas can only have come in Surrogate-Key, so they contain no spaces and can be sent in it again.
    with_commas = [name for name in tags if "," in name]
    fields = {"Cache-Tag": ",".join(name for name in tags if "," not in name), "Surrogate-Key": " ".join(with_commas)}
    return {name: value for name, value in fields.items() if value}
