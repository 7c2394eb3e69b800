"""Resolve a redirect, which must lead to the server that sent it. No I/O."""

from __future__ import annotations

import httpx

from service.errors import OriginBroken
from service.upstream.transport import server_of


def resolve_redirect(here: httpx.URL, location: str) -> httpx.URL:
    """Return the URL to which `here` redirects, with the user and password of `here` if `location` has none.

    `location` is the value of a Location field (RFC 9110 10.2.2). Raises OriginBroken if it is no valid URL or leads to
    another scheme, host or port.
    """
    try:
        target = here.join(location)
        is_same = server_of(target) == server_of(here)
    except (ValueError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:  # such as http://[ or ftp://host
        raise OriginBroken("the origin redirects to an invalid URL") from error
    if not is_same:
        raise OriginBroken("the origin redirects to another host")
    return target if target.userinfo else target.copy_with(userinfo=here.userinfo)
