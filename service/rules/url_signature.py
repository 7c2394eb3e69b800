"""Sign the URLs of pictures, and check their signatures. No I/O, no clock.

    sig = base64url(HMAC-SHA256(key, salt + text)), without padding
    text = the path, then each of the arguments that matter as `name=value`, by name, joined by line feeds

Path and values are those after percent-decoding, so that a proxy that writes a URL in another way does not end its
signature. A line feed separates them, so a URL with a line feed in its path or in such a value is refused: the end of a
value could otherwise pass for another argument.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.errors import SignatureExpired, WrongSignature

SIGNATURE, EXPIRY = "sig", "exp"
ARGUMENTS = frozenset({"res", "fmt", EXPIRY})
"""The arguments that matter for every picture. All others are ignored, and are not signed."""
_SEPARATOR = "\n"
_EXPIRY_DIGITS = 12
"""The maximum number of digits of a time in seconds since 1970 (assumed): enough for 30,000 years."""

Arguments = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, repr=False)
class UrlKey:
    """A key with its salt. Its `repr` has neither."""

    key: bytes
    salt: bytes

    def sign(self, path: str, arguments: Iterable[tuple[str, str]]) -> str:
        """Return the signature of a path and the arguments that matter."""
        text = _SEPARATOR.join([path, *(f"{name}={value}" for name, value in sorted(arguments))])
        digest = hmac.digest(self.key, self.salt + text.encode(errors="replace"), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def read_url_keys(keys: str, salts: str) -> tuple[UrlKey, ...]:
    """Return the pairs of the settings EDGE_KEY and EDGE_SALT; none if both are empty. Raises ValueError."""
    pairs = list(zip(read_hex_list(keys), read_hex_list(salts), strict=True))
    return tuple(UrlKey(key, salt) for key, salt in pairs)


def read_hex_list(text: str) -> list[bytes]:
    """Return the bytes of hexadecimal numbers separated by commas. Raises ValueError, without quoting the text."""
    try:
        values = [bytes.fromhex(one) for one in text.split(",")] if text.strip() else []
    except ValueError:
        values = [b""]
    if not all(values):
        raise ValueError("the value must be hexadecimal digits, two for each byte; separate several by commas")
    return values


def can_be_signed(path: str, values: Iterable[str]) -> bool:
    """Return whether path and values hold no line feed, which separates them in the signed text."""
    return not any(_SEPARATOR in text for text in (path, *values))


def check_signature(keys: Sequence[UrlKey], path: str, arguments: Arguments, *, now_s: float) -> int | None:
    """Return when the URL expires (seconds since 1970), or None if it never does.

    `arguments` are the arguments that matter, and `sig`. Raises WrongSignature or SignatureExpired.
    """
    given = dict(arguments)
    signature = given.pop(SIGNATURE, "")
    if len(given) + 1 != len(arguments) or not signature.isascii():
        raise WrongSignature("the URL has no signature, or an argument is given twice")
    if not can_be_signed(path, given.values()):
        raise WrongSignature("the path or an argument holds a line feed")
    # All keys are tried and compared in constant time, so that the time tells nothing about the right signature.
    matches = [hmac.compare_digest(key.sign(path, given.items()), signature) for key in keys]
    if not any(matches):
        raise WrongSignature("the signature is not that of this URL")
    return _check_expiry(given.get(EXPIRY), now_s)


def _check_expiry(text: str | None, now_s: float) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _EXPIRY_DIGITS):
        raise WrongSignature("the expiry is no number of seconds since 1970")
    if int(text) <= now_s:
        raise SignatureExpired("the signature has expired")
    return int(text)
