"""The C heap of this process: freed memory is kept for the next picture instead of being given back to the kernel.

Decoding takes and frees tens of megabytes for each picture. By default glibc maps and unmaps the larger pieces every
time, and the kernel clears each page again: 650 to 1,100 page faults and about 2 ms of a hit's 15 (measured).
"""

import ctypes
from contextlib import suppress

# malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3

_LARGEST_PIECE_BYTES = 32 * 2**20
"""The most that glibc takes; larger pieces are still mapped."""
_KEPT_BYTES = 256 * 2**20
_GROWTH_BYTES = 16 * 2**20


def keep_freed_memory() -> bool:
    """For the whole process; whether there was a heap to ask it of (other C libraries are left as they are)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    wishes = (
        (_M_MMAP_THRESHOLD, _LARGEST_PIECE_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_TOP_PAD, _GROWTH_BYTES),
    )
    return all(mallopt(name, ctypes.c_int(value)) == 1 for name, value in wishes)


def give_back_freed_memory() -> None:
    """Return what is free to the kernel, in a process that is about to wait."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
