"""Inputs that were once mishandled, or that another cache or origin has mishandled, by where they come from.

Every property of this folder is tried on all of them before it is tried on anything drawn at random. A new fault gets
its input here, beside the test of its own.
"""

from __future__ import annotations

CACHE_CONTROL = (
    "",
    '"' + '\\"' * 1000,  # quadratic once: quotes that are never closed
    'max-age="' + "\\" * 1001,
    'x="a, no-store',  # what follows an open quote may forbid something
    'x="\\"no-store, private", max-age=60',
    "max-age=60, max-age=10",
    "max-age =60",
    "max-age=" + "9" * 400,
    "max-age=-1",
    "max-age=1.5",
    "s-maxage=0, max-age=60",
    "max-age=60, stale-while-revalidate=99999999999, stale-if-error=99999999999",
    "no-cache, max-age=60",
    'no-cache="set-cookie", private="x"',
    "must-understand, no-store",
    "no-transform, max-age=600",
    "public, immutable, max-age=31536000",
    "max-age=60;x=1, list=(1 2)",
    "max-age=(60)",
    "no-store=?0, private=?0",
    "max-age=60, " + "x" * 4096,
)
VARY = (
    "*",
    "Accept, *",
    "accept-language,ACCEPT-LANGUAGE",
    "x-a,,  ,x-b",
    "Cookie",
    ",".join(f"x{n}" for n in range(40)),
)
DATES = (
    "0",
    "-1",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "Fri, 31 Dec 9999 23:59:60 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Sat, 31 Dec 2016 23:59:60 GMT",
    "Friday, 01-Jan-77 00:00:00 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Wed, 15 Nov 2023 99:99:99 GMT",
)
AGES = ("-5", "1, 2", "2147483649", "9" * 300, "1e9", "0x10", " 7 ")
ENTITY_TAGS = ('"v1"', 'W/"v1"', ">0123456789abcdef x", '"a,b"', '"', "W/", "*", '"' + "x" * 5000 + '"', '"\xff"')
TAGS = ("cats, photo:7", "a b", ",".join(str(n) for n in range(100)), "x" * 300, "\xe4", "a\tb")
LOCATIONS = (
    "",
    "/to",
    "//elsewhere.test/",
    "http://[",
    "http://origin.test:0/",
    "http://origin.test:x/",
    "HTTP://ORIGIN.TEST/to",
    "http://me@origin.test/",
    "javascript:alert(1)",
    "/a\\..\\b",
    "?" * 3000,
    "../" * 500,
    "http://\u2100.test/",
)
CLIENT_FIELDS = (  # which an origin may believe, or fold into one that it believes
    *("x-forwarded-host", "x_forwarded_host", "x_http_method_override", "transfer_encoding", "x-http-host-override"),
    *("x-forward-host", "x-forwarded", "x-scheme", "x-url-scheme", "front-end-https", "x-originating-ip"),
    *("remote-user", "x-token", "private-token", "authorization", "cookie", "proxy-authorization", "host", "range"),
    *("content-length", "transfer-encoding", "connection", "upgrade", "te", "expect", "if-range", "accept", "cdn-loop"),
    *("x-original-url", "x-rewrite-url", "x-sendfile", "x-middleware-subrequest", "x!a", "x.b", "x~c", "", "x y"),
    *("accept-language", "dpr", "viewport-width", "sec-ch-width", "user-agent", "if-none-match", "if-modified-since"),
)
ACCEPTS = (
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    ",,;;,q=1",
    "image/webp;q=0, image/avif;q=0, */*;q=0.1",
    "image/avif;q=2",
    "image/*;q=0.9999",
    "*/*;q=0",
    "image/webp;" * 2000,
    "\xff/\xfe;q=\xb2",
)
IMAGE_IDS = (
    *("", "..", "../a", "a/../b", "./a", "/a", "//host/a", "\\\\host\\a", "a\\..\\b", "http://host/a", "HTTP:host"),
    *("file:///etc/passwd", "data:image/png;base64,", "a\x00b", "a\nb", "a\x85b", "a\u2028b", "a\ufffdb", "x" * 513),
    *("a//b", "..a", "a?b#c", "100%", "%2e%2e/a", "..;/a", "\u0661", "\u202ea", "x" * 512),
)
QUERIES = (b"res=high&res=high", b"fmt=", b"r%65s=medium", b"res=%ff", b"&" * 3000, b"res=medium;fmt=png", b"fmt=gif")
LOOPS = ("other; v=2", ",".join(["x"] * 9), "latentedge-00000000", "\xff", "a;" * 600)
FACTS = (
    "digest=:AAECAwQFBgcICQoLDA0ODw==:, bytes=9, high=8, medium=7, refinement=0, etag=:InYxIg==:, stale",
    "digest=:AA==:, bytes=9, high=8, medium=7, refinement=0, etag=::",
    "digest=:AAECAwQFBgcICQoLDA0ODw==:, bytes=-1, high=8, medium=7, refinement=0, etag=::",
    "digest=(1 2), bytes=9",
    "digest=:AAECAwQFBgcICQoLDA0ODw==:, bytes=9.5, high=?1, medium=7, refinement=0, etag=:/w==:",
)
ORIGIN_BYTES = (
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\npoison",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/0.9\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: //elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
)
STORED_TAGS = (b"\0ats", b" ats", b"cat\n")
"""In place of `cats` in a record: read once, and then an assertion failed when its dates were renewed."""
