"""What a hit costs in processor time: stage by stage in this process, then the whole edge from outside, in turns.

Two edges, one that decodes every request and one whose files are still in memory; of the first also who used the time:
the event loop, the codec's thread, the store. A machine that is shared is faster and slower by the second, so all are
measured in every round. Last line JSON.
"""

import argparse
import json
import tempfile
from pathlib import Path

from service.demo.children import origin_server
from tests.bench import photographs
from tests.bench.contest import Result, contest
from tests.bench.edges import contestant, edge
from tests.bench.processor_time import used_by_part_s
from tests.bench.stages import Stages

ROUNDS = 16
REQUESTS = 24
DECODED, FROM_MEMORY = "decoded", "from memory"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        sources = photographs.written(Path(scratch) / "photographs")
        stages = Stages(sources)
        edges, shares = _edges_ms(stages, sources, Path(scratch), rounds=rounds)
    table, encode_ms = stages.ms(), stages.encode_ms()
    for size, row in table.items():
        print(f"{size}  stages  ", "  ".join(f"{stage} {ms:.2f}" for stage, ms in row.items()), "ms")
        decoded_ms = edges.ms(DECODED, size)
        print(f"{size}  edge     {decoded_ms:.2f} ms, of which around the stages {decoded_ms - row['sum']:.2f}")
        print(f"{size}  the file still in memory  {edges.ms(FROM_MEMORY, size):.3f} ms")
    print("decoded, both sizes: ", "  ".join(f"{part} {share:.1%}" for part, share in shares.items()))
    print(f"kernels: {stages.kernels}")
    print(f"an encode (a miss)  {encode_ms:.1f} ms")
    found = {
        "stages_ms": table,
        "edge_ms": edges.as_json(),
        "shares": shares,
        "encode_ms": encode_ms,
        "kernels": stages.kernels,
    }
    print(json.dumps({"requests": edges.rounds * REQUESTS, **found}))


def _edges_ms(stages: Stages, sources: list[Path], scratch: Path, *, rounds: int) -> tuple[Result, dict[str, float]]:
    names = [source.name for source in sources]
    with (
        origin_server(sources[0].parent, log=scratch / "origin.log") as origin,
        edge(origin.url, names, scratch=scratch) as decoding,
        edge(origin.url, names, scratch=scratch, EDGE_HOT_BYTES=str(2**26)) as remembering,
    ):
        before = used_by_part_s(decoding.pid)
        both = [
            contestant(DECODED, decoding, detail="hit"),
            contestant(FROM_MEMORY, remembering, detail="detail=memory"),
        ]
        result = contest(both, names, rounds=rounds, requests=REQUESTS, between=stages.measure)
        spent = {part: seconds - before[part] for part, seconds in used_by_part_s(decoding.pid).items()}
    return result, {part: seconds / sum(spent.values()) for part, seconds in spent.items()}


if __name__ == "__main__":
    main()
