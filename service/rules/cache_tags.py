"""The names under which an origin lets a picture be purged together with others. No I/O, no clock.

`Cache-Tag` is a list with commas (Cloudflare), `Surrogate-Key` one with spaces (Fastly); an origin may send both.
Upper and lower case differ.
"""

from __future__ import annotations

# Caps (assumed): what a record has room for.
TAGS_CAP = 64
TAG_CAP_BYTES = 255


def read_tags(*, cache_tag: str, surrogate_key: str) -> tuple[str, ...]:
    """Each name once, in the order of the fields."""
    named = [*(name.strip() for name in cache_tag.split(",")), *surrogate_key.split()]
    return tuple(dict.fromkeys(name for name in named if name))


def tags_fit(tags: tuple[str, ...]) -> bool:
    """Whether a record can hold them all: a picture that some purge would miss is better not stored."""
    return len(tags) <= TAGS_CAP and all(is_tag(name) for name in tags)


def is_tag(name: str) -> bool:
    """Whether a picture could have such a name."""
    return 0 < len(name) <= TAG_CAP_BYTES and name.isascii() and name.isprintable() and name == name.strip()


def write_tags(tags: tuple[str, ...]) -> dict[str, str]:
    """The fields that `read_tags` reads them from, for an edge further out."""
    with_commas = [name for name in tags if "," in name]  # of the list with spaces, so there are none in it
    fields = {"Cache-Tag": ",".join(name for name in tags if "," not in name), "Surrogate-Key": " ".join(with_commas)}
    return {name: value for name, value in fields.items() if value}
