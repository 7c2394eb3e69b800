"""What a check comes to: the last line of its output, made of the rows of all stages. No I/O."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.gpu_check.journal import Row

Summary = dict[str, Any]


def summary(rows: Sequence[Row]) -> Summary:
    """Return whether everything held, the stages' seconds, the failures, and the best figure of each kind."""
    failures = [f"{row['stage']}: {row['what']}: {row['failure']}" for row in rows if "failure" in row]
    failures += [f"{row['stage']}: {row['what']} is not ok" for row in rows if row.get("ok") is False]
    return {
        "ok": not failures,
        "stages_s": {row["stage"]: round(row["seconds"], 1) for row in rows if row["what"] == "done"},
        "failures": failures,
        "golden_worst_db": _most(rows, "worst_db"),
        "golden_most_levels": _most(rows, "levels"),
        "from_symbols_per_s": _best(rows, "pictures", ("head", "size_px")),
        "pixels_per_s": _best(rows, "pixels", ("size_px",)),
        "files_per_s": _best(rows, "files", ("by", "size_px")),
        "encodes_per_s": _best(rows, "encodes", ("items",)),
        "search": {name: _most(rows, name) for name in ("saved_percent", "percent_per_gpu_s", "picture_s")},
        "responses_per_s": responses(rows, "saturated "),
        "at_70_percent": responses(rows, "at 70 % "),
    }


def responses(rows: Iterable[Row], kind: str) -> dict[str, Any]:
    """Return rate and latencies by size, head, decoder and number of processes."""
    return {
        f"{row['what'].removeprefix(kind)} px, {_edge(row)}": {
            name: _rounded(row[name]) for name in ("per_s", "p50_ms", "p99_ms")
        }
        for row in rows
        if row["what"].startswith(kind)
    }


def _edge(row: Row) -> str:
    decoder = f", {row['EDGE_DECODER']}" if "EDGE_DECODER" in row else ""
    return f"head {row['EDGE_HEAD']}, {row['workers']} processes{decoder}"


def _best(rows: Iterable[Row], what: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return the highest rate of each setting."""
    found: dict[str, float] = {}
    for row in rows:
        if row["what"] == what and "per_s" in row:
            setting = " ".join(str(row[name]) for name in names)
            found[setting] = max(found.get(setting, 0.0), round(row["per_s"], 1))
    return found


def _most(rows: Iterable[Row], name: str) -> float | None:
    return max((row[name] for row in rows if row.get(name) is not None), default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
