"""The section "Capacity" of docs/operations.md, made of measurements: pictures in a GiB, the cost of a million hits.

Prices are variables with examples, not claims: whoever reads puts in their own.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from models.evaluation.anchors import YARDSTICK, anchor
from tests.bench.figures import OUT, SIZES, Figures
from tests.bench.plots import NAME

OPERATIONS = Path("docs") / "operations.md"
PLOT = Path("tests") / "bench" / NAME
BEGIN, END = "<!-- capacity: made by `make bench ARGS=--write-docs` -->", "<!-- capacity ends -->"

GIB = 2**30
MS_PER_HOUR = 3.6e6
MILLION = 1_000_000
# Examples, in any currency.
CPU_HOUR = 0.04
GIB_MONTH = 3.0
HITS_A_MONTH = (10, 100, 1000)
"""Of a picture."""
HOT_SHARE = 0.8
"""Of hits whose file is still in memory."""

PAGE = """\
Measured {date} on {machine} (shared, load {load:.1f} at the start): processor time of
whole process families, medians of {requests} requests in each size, half of the hits for 344 and half for 172. The
files are of the same pictures at the SSIMULACRA2 of our decoded ones ({high:.0f} at 344, {medium:.0f} at 172; AVIF:
{avif}). The pictures are the demonstration's photographs, so the bytes are not those of [Kodak](codec.md#figures).

{table}

    CPU-hours of a million hits = ms of processor time a hit * 1,000,000 / 3,600,000
    pictures in a GiB           = 2^30 / bytes a picture ({beside:,.0f} B of them are the key and its bookkeeping)
    cost of a million hits      = CPU-hours * CPU_HOUR + 1,000,000 / hits of a picture * bytes / 2^30 * GIB_MONTH
    latents cost less below     = bytes saved / 2^30 * GIB_MONTH / (ms more / 3,600,000 * CPU_HOUR) hits of a picture

Hits of a picture are the hits of a month. The prices are examples, not claims: CPU_HOUR = {cpu_hour:.2f},
GIB_MONTH = {gib_month:.2f} (memory; replicas multiply it). The last column compares with the first line.

![rivals side by side, and an edge that is asked for more than it can do]({plot})"""


@dataclass(frozen=True)
class Way:
    """To serve a picture in both sizes."""

    name: str
    kept_bytes: float
    hit_ms: float

    @property
    def per_gib(self) -> float:
        return GIB / self.kept_bytes

    @property
    def cpu_hours(self) -> float:
        """Of a million hits."""
        return self.hit_ms * MILLION / MS_PER_HOUR

    def cost(self, hits_a_month: float) -> float:
        """Of a million hits on pictures that are each asked for so often."""
        return self.cpu_hours * CPU_HOUR + MILLION / hits_a_month * self.kept_bytes / GIB * GIB_MONTH


def break_even(ours: Way, theirs: Way) -> str:
    """Below how many hits a month of a picture our memory saves more than our decoding costs."""
    saved_gib, dearer_ms = (theirs.kept_bytes - ours.kept_bytes) / GIB, ours.hit_ms - theirs.hit_ms
    if saved_gib <= 0:
        return "never" if dearer_ms >= 0 else "above some"
    if dearer_ms <= 0:
        return "always"
    return f"below {saved_gib * GIB_MONTH / (dearer_ms / MS_PER_HOUR * CPU_HOUR):,.0f}"


def ways(figures: Figures) -> Iterator[Way]:
    """Ours first."""
    rivals = figures.by_script["rivals"]
    size, cpu = rivals["bytes"], rivals["cpu_ms"]
    beside = _beside_bytes(rivals)
    decoded_ms = fmean(cpu["edge"][one]["cpu_ms"] for one in SIZES)
    hot_ms = fmean(cpu["edge, from memory"][one]["cpu_ms"] for one in SIZES)
    yield Way("latentedge, every hit a decode", rivals["record_bytes"], decoded_ms)
    mixed_ms = HOT_SHARE * hot_ms + (1 - HOT_SHARE) * decoded_ms
    yield Way(f"latentedge, {HOT_SHARE:.0%} of hits from memory", rivals["record_bytes"], mixed_ms)
    others = {
        "nginx, files": ("JPEG file for each size (nginx)", size["jpeg_high"] + size["jpeg_medium"] + 2 * beside),
        "AVIF + resize": ("one AVIF, decoded and resized", size["avif_high"] + beside),
        "thumbor": ("thumbor, the sources kept as near", rivals["source_bytes"] + beside),
    }
    for server, (name, kept_bytes) in others.items():
        if server in cpu:
            yield Way(name, kept_bytes, fmean(cpu[server][one]["cpu_ms"] for one in SIZES))


def page(figures: Figures) -> str:
    rivals = figures.by_script["rivals"]
    ours, *others = list(ways(figures))
    heads = ["way", "bytes a picture", "pictures in a GiB", "CPU-hours a million hits"]
    heads += [f"cost, {hits:,} hits a month each" for hits in HITS_A_MONTH] + ["latents cost less"]
    rows = [_row(one, "" if one.name.startswith("latentedge") else break_even(ours, one)) for one in (ours, *others)]
    table = "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *rows])
    return PAGE.format(
        date=figures.date,
        machine=figures.machine,
        load=figures.load,
        requests=rivals["requests"],
        high=rivals["bytes"]["score_high"],
        medium=rivals["bytes"]["score_medium"],
        table=table,
        beside=_beside_bytes(rivals),
        cpu_hour=CPU_HOUR,
        gib_month=GIB_MONTH,
        avif=anchor(YARDSTICK).settings,
        plot=(Path("..") / PLOT).as_posix(),
    )


def write_docs(figures: Figures) -> None:
    """Write the section into the page, and copy the plot to where the page shows it from."""
    OPERATIONS.write_text(with_section(OPERATIONS.read_text("utf-8"), page(figures)), "utf-8")
    shutil.copyfile(OUT / NAME, PLOT)


def with_section(text: str, section: str) -> str:
    """Return the page with this section between its marks. Raises ValueError for a page without marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{OPERATIONS} lacks the marks of the section")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def _row(way: Way, even: str) -> str:
    costs = [f"{way.cost(hits):.2f}" for hits in HITS_A_MONTH]
    cells = [way.name, f"{way.kept_bytes:,.0f}", f"{way.per_gib:,.0f}", f"{way.cpu_hours:.2f}", *costs, even]
    return f"| {' | '.join(cells)} |"


def _beside_bytes(rivals: dict[str, Any]) -> float:
    """What a key takes in the store beside what it is for."""
    return float(rivals["record_bytes"] - rivals["bytes"]["latent"])
