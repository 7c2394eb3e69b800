"""The rules of HTTP as pure functions: no I/O, no clock. The only third-party library is http_sfv (RFC 9651)."""
