"""What an edge counts of itself, over all its workers, as /metrics tells it."""

from collections import defaultdict
from collections.abc import Mapping

from tests.bench.servers import Server, connected, got


def totals(server: Server) -> Mapping[str, float]:
    """Return each metric's sum over all labels but the size of a picture."""
    connection = connected(server.port)
    lines = got(connection, "/metrics")[1].decode().splitlines()
    connection.close()
    found: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name.partition("{")[0] + _size(name)] += float(value)
    return found


def batch_sizes(server: Server) -> dict[str, float]:
    """Return the mean number of pictures in a synthesis call, by size."""
    found = totals(server)
    sizes = [name.removeprefix("edge_batch_size_count") for name in found if name.startswith("edge_batch_size_count")]
    return {
        size.strip(): found[f"edge_batch_size_sum{size}"] / count
        for size in sizes
        if (count := found[f"edge_batch_size_count{size}"])
    }


def _size(name: str) -> str:
    _, separator, rest = name.partition('size="')
    return f" {rest.partition(chr(34))[0]}" if separator else ""
