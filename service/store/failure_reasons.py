"""Tell by the exception of a store command why it failed, as a label for metrics, the log and /readyz. No I/O."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from socket import gaierror

from redis.exceptions import AuthenticationError, MasterDownError, NoPermissionError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

READ_ONLY = "read_only"
UNREACHABLE = "unreachable"
OF_THE_SERVER = ("timeout", "back_off", "unknown_host", "tls", UNREACHABLE)
"""The reasons that one command without an error refutes. With the others, some commands may work and others not."""

# Redis' error codes. redis-py has exceptions for most of them, but not in the error of a script before Redis 7, nor for
# the replies that `Gets` reads, which quote the code.
_READ_ONLY_CODES = ("READONLY", "MASTERDOWN", "NOREPLICAS")
_DENIED_CODES = ("WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH")


def reason_of(error: Exception) -> str:
    """Return why a command failed: denied, unknown_host, tls, read_only, unreachable or error.

    `denied` is a wrong user or password, or a missing permission; `read_only` is a replica, or a server that has lost
    its replicas or its master, as after a failover.
    """
    chain = list(_chain(error))
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return "tls"
    if any(isinstance(one, gaierror) for one in chain):
        return "unknown_host"
    text = str(error)
    # redis-py wraps an AuthenticationError in a ConnectionError, and it is one itself, so it is recognised first.
    refused = any(isinstance(one, AuthenticationError | NoPermissionError) for one in chain)
    if refused or text.startswith(_DENIED_CODES):
        return "denied"
    if isinstance(error, ReadOnlyError | MasterDownError) or any(code in text for code in _READ_ONLY_CODES):
        return READ_ONLY
    return UNREACHABLE if isinstance(error, OSError | RedisConnectionError) else "error"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, and the ones that it was raised from: redis-py wraps some errors."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
