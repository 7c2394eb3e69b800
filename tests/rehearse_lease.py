"""`make rehearse-lease`: two leases of a GPU in miniature on a processor, with everything that a real one does.

Pack photographs; first lease with a contest of the optimizers, killed in the middle of its decay; second lease from the
flat weights that came back, to its end; release; golden streams of it at all qualities. Each step checks what it left.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.training.kept import AVERAGED, FLAT, TrainingProgress, load_kept
from models.training.options import Recipe
from models.training.schedule import Timetable
from models.training.training_log import LOG, lines_of
from tests.models.golden_streams import score, soft_photograph
from tests.models.pictures import photograph

NAMES = ("astronaut", "chelsea", "coffee", "rocket")
SMALL = ("--batch", "2", "--crop", "64", "--threads", "1")
REMOTE = (sys.executable, "-m", "models.training.remote")
LATENTEDGE = (sys.executable, "-m", "service")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each lease")
    parser.add_argument("--folder", type=Path, help="where the runs stay; a temporary folder by default")
    parser.add_argument("train", nargs="*", help="after --: further options of `latentedge train`")
    found = parser.parse_args()
    for minutes in (6, 11):
        print(f"a lease of {minutes} minutes:\n{Timetable.of(Recipe(), 60 * minutes, again=False)}")
    if found.folder:
        rehearse(found.folder, found.minutes, found.train)
    else:
        with tempfile.TemporaryDirectory() as folder:
            rehearse(Path(folder), found.minutes, found.train)


def rehearse(folder: Path, minutes: float, options: list[str]) -> None:
    train = ["--data", str(packed(folder)), "--minutes", str(minutes), *SMALL, *options]
    first = killed_lease(folder, [*train, "--contest", str(6 * minutes)], wait_s=90 * minutes)
    second = whole_lease(folder, [*train, "--from-flat", str(folder / "first-out")], wait_s=150 * minutes)
    assert second.run == first.run + 1, "the second lease does not know of the first"
    weights = released(folder, [*train[:2], *options])
    check_streams(weights)
    print("rehearsed")


def packed(folder: Path) -> Path:
    (folder / "photographs").mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(photograph(name, 400)).save(folder / "photographs" / f"{name}.png")
    pack = folder / "photographs.zip"
    tell(*LATENTEDGE, "pack", "--data", folder / "photographs", "--output", pack, "--most-bytes", 120_000)
    return pack


def killed_lease(folder: Path, train: list[str], *, wait_s: float) -> TrainingProgress:
    """Kill -9 in the middle of the decay: what it wrote until then must be whole."""
    run, out = folder / "first", folder / "first-out"
    tell(*REMOTE, "start", run, "--", *train)
    tell(*REMOTE, "bring", run, out, "--until", "flat", "--wait", wait_s)
    flat, process = load_kept(out, FLAT).progress, int((run / "process").read_text())
    while Path(f"/proc/{process}").exists() and load_kept(run / "high", AVERAGED).progress.step < flat.step + 3:
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)  # raises when it is gone already: the minutes are too few here
    tell(*REMOTE, "bring", run, out, "--until", "done")
    averaged = load_kept(out, AVERAGED).progress
    print(f"killed: flat weights of step {flat.step}, averaged ones of step {averaged.step} ({averaged.phase})")
    assert flat.phase == "flat"
    assert averaged.phase in {"decay", "whole pictures"}
    return flat


def whole_lease(folder: Path, train: list[str], *, wait_s: float) -> TrainingProgress:
    run, out = folder / "second", folder / "second-out" / "high"
    began_s = time.monotonic()
    tell(*REMOTE, "start", run, "--", *train)
    tell(*REMOTE, "bring", run, out, "--until", "flat", "--wait", wait_s)
    tell(*REMOTE, "bring", run, out, "--until", "done", "--wait", wait_s)
    flat, averaged = load_kept(out, FLAT).progress, load_kept(out, AVERAGED).progress
    print(f"second lease: {time.monotonic() - began_s:.0f} s, flat to step {flat.step}, decay to step {averaged.step}")
    assert averaged.phase == "done", "the decay did not come to its end"
    assert averaged.step > flat.step
    assert (out / "curve.png").exists()
    for line in lines_of(out / LOG):
        print(f"    run {line['run']} step {line['step']:4} {line['phase']:15} fixed loss {line['fixed_loss']:.3f}")
    return flat


def released(folder: Path, train: list[str]) -> Path:
    """The release reads the averaged weights out of their parts; the medium autoencoder is the released one's."""
    run = folder / "second-out"
    tell(*LATENTEDGE, "train", "--stage", "release", "--minutes", 1, "--output", run, *train, *medium_start())
    return run / "latentedge.safetensors"


def medium_start() -> list[str | Path]:
    from models.checkpoint import RELEASED

    return ["--from", RELEASED]


def check_streams(weights: Path) -> None:
    """A stream of each quality: read the same by every head and precision, and the same picture to 0.05 dB."""
    torch.set_num_threads(1)
    by_head = {head: Codec.load(weights, kernels="float32", head=head) for head in ("gpu", "cpu")}
    in_half = {head: Codec.load(weights, kernels="bfloat16", head=head) for head in ("gpu", "cpu")}
    blobs = [by_head["gpu"].encode(soft_photograph(HIGH_PX), quality=quality) for quality in range(QUALITIES)]
    worst_db = 0.0
    for head, codec in by_head.items():
        for blob in blobs[::9]:
            for size_px in (HIGH_PX, MEDIUM_PX):
                worst_db = max(worst_db, abs(score(codec, blob, size_px) - score(in_half[head], blob, size_px)))
    read = [in_half["cpu"].read(blob).quality for blob in blobs]
    assert read == list(range(QUALITIES))
    assert worst_db < 0.05, f"{worst_db} dB between two precisions"
    print(f"{len(blobs)} golden streams read; {worst_db:.3f} dB between float32 and bfloat16 at worst")


def tell(*command: str | Path | float) -> None:
    """Run a command as a person would, and show what it says."""
    words = [str(word) for word in command]
    print("$", " ".join(words[1:]), flush=True)
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
