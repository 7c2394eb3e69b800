"""What a server has used of the processor: itself and everything below it, by the kernel's own books."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def family(pid: int) -> Iterator[int]:
    """A process and all below it: the edge and its embedded store, a supervisor and its workers."""
    yield pid
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            parent = int(_fields(entry)[1])
        except OSError:
            continue
        if parent == pid:
            yield from family(int(entry.parent.name))


def used_s(pid: int) -> float:
    """Seconds of processor time of the whole family so far."""
    return sum(_of_one_s(one) for one in family(pid))


def used_by_part_s(pid: int) -> dict[str, float]:
    """The same of an edge with one worker, by who used it."""
    loop_s = int((_PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9  # of a process: its first thread
    whole_s = _of_one_s(pid)
    return {"event loop": loop_s, "codec": whole_s - loop_s, "store": used_s(pid) - whole_s}


def _of_one_s(pid: int) -> float:
    """To the nanosecond where the kernel says so; a thread that has ended is no longer in it."""
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, IndexError):  # a kernel without it: to the hundredth of a second
        try:
            fields = _fields(_PROC / str(pid) / "stat")
        except OSError:
            return 0.0
        return _TICK_S * (int(fields[11]) + int(fields[12]))


def _fields(stat: Path) -> list[str]:
    """After the name of the program, which may hold anything (proc(5))."""
    return stat.read_text().rpartition(")")[2].split()
