"""Start a training on a rented machine so that it outlives the shell, and collect its files in a folder.

    python -m models.training.remote start RUN [--wheels DIR] [--caches DIR] -- --data PACK --minutes 11 ...
    python -m models.training.remote bring RUN OUT --until flat --wait 540
    python -m models.training.remote bring RUN OUT --until done --wait 540

`start` installs the wheels into a folder of the run, unpacks the compilers' caches of an earlier run, and starts
`latentedge train` in a session of its own (setsid), so that it is not killed with the shell. The words after `--` are
options of `latentedge train`, with the defaults of options.py.

`bring` waits for the end of the flat part or of the training, at most `--wait` seconds. Then it copies files in parts
of limited size (parts.py): with `--until flat` the flat weights and the compilers' caches, with `--until done` the
averaged weights, and each time the log. Standard library only, because it runs before any wheel is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path

from models.training.parts import join, split

_CACHES = "caches"
_ARCHIVE = "caches.tar.xz"
_STAGE = "high"
_OUTPUT, _PROCESS = "output.log", "process"
_LOOK_S = 0.5


def start(run: Path, *, wheels: Path | None, caches: Path | None, train: list[str]) -> int:
    """Start `latentedge train` with the options `train` in the folder `run`; return its process id."""
    run.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if wheels is not None:
        environment["PYTHONPATH"] = os.pathsep.join((str(_install(wheels, run / "site")), str(Path.cwd())))
    if caches is not None:
        _unpack(caches, run)
    for compiler in ("TORCHINDUCTOR", "TRITON"):
        environment[f"{compiler}_CACHE_DIR"] = str(run.resolve() / _CACHES / compiler.lower())
    command = [sys.executable, "-m", "service", "train", "--stage", _STAGE, "--output", str(run), *train]
    with (run / _OUTPUT).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  our own command
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    (run / _PROCESS).write_text(str(process.pid))
    return process.pid


def bring(run: Path, out: Path, *, until: str, wait_s: float, most_bytes: float = math.inf) -> list[Path]:
    """Wait, copy the files to `out`, and return the paths written.

    It waits for the end of the flat part, in which the learning rate is constant, or of the whole training.

    `until` is "flat" or "done". The wait ends after `wait_s` seconds in any case. The compilers' caches, which save a
    later run at most two minutes, are left out where all files together would exceed `most_bytes`.
    """
    end_s = time.monotonic() + wait_s
    while _is_alive(run) and time.monotonic() < end_s and not (until == "flat" and _is_past_flat(run)):
        time.sleep(_LOOK_S)
    out.mkdir(parents=True, exist_ok=True)
    names = ("flat.safetensors",) if until == "flat" else ("averaged.safetensors", "curve.png")
    chosen = [run / _STAGE / name for name in (*names, "log.jsonl")] + [run / _OUTPUT]
    if until == "flat":
        _pack_caches(run)
        if sum(_size_bytes(file) for file in (*chosen, run / _ARCHIVE)) <= most_bytes:
            chosen.append(run / _ARCHIVE)
    return [part for file in chosen if file.exists() for part in split(file, out)]


def _size_bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _install(wheels: Path, target: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    subprocess.run([*pip, "--target", str(target), *map(str, sorted(wheels.glob("*.whl")))], check=True)  # noqa: S603
    return target.resolve()


def _unpack(caches: Path, run: Path) -> None:
    join(caches / _ARCHIVE)
    if (caches / _ARCHIVE).exists():
        with tarfile.open(caches / _ARCHIVE) as archive:
            archive.extractall(run, filter="data")


def _pack_caches(run: Path) -> None:
    """Archive the compilers' caches, without files that a compiler renames or deletes meanwhile."""
    if (run / _CACHES).is_dir():
        with tarfile.open(run / _ARCHIVE, "w:xz") as archive:
            for file in sorted((run / _CACHES).rglob("*")):
                with suppress(FileNotFoundError):
                    archive.add(file, file.relative_to(run), recursive=False)


def _is_past_flat(run: Path) -> bool:
    """Return whether the flat part has ended: the averaged weights then name a later phase in their metadata."""
    return _phase(run / _STAGE / "averaged.safetensors") not in {None, "flat"}


def _phase(weights: Path) -> str | None:
    """Return the training phase in the metadata of a safetensors file, or None where the file does not exist.

    Such a file begins with the length of its JSON header as a 64-bit integer, and then the header.
    """
    if not weights.exists():
        return None
    with weights.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    phase: str = header["__metadata__"]["phase"]
    return phase


def _is_alive(run: Path) -> bool:
    try:
        os.kill(int((run / _PROCESS).read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def main(words: list[str]) -> None:
    """Run the command line `words` (see the top of this file). Exits where `bring` finds no training."""
    end = words.index("--") if "--" in words else len(words)
    found = _parser().parse_args(words[:end])
    if found.command == "start":
        print("process", start(found.run, wheels=found.wheels, caches=found.caches, train=words[end + 1 :]))
    else:
        if not (found.run / _PROCESS).exists():
            raise SystemExit(f"{found.run}: no training was started there, so there is nothing to bring")
        for file in bring(found.run, found.out, until=found.until, wait_s=found.wait, most_bytes=found.most_bytes):
            print(f"{file.stat().st_size:>12,} B  {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="remote", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start a training that outlives this shell")
    starting.add_argument("run", type=Path)
    starting.add_argument("--wheels", type=Path, help="a folder of wheels to install for the run")
    starting.add_argument("--caches", type=Path, help="a folder that an earlier `bring --until flat` wrote")
    bringing = commands.add_parser("bring", help="wait for a phase and copy the files")
    bringing.add_argument("run", type=Path)
    bringing.add_argument("out", type=Path)
    bringing.add_argument(
        "--until",
        choices=("flat", "done"),
        default="done",
        help="wait for the end of the flat part, or of the training",
    )
    bringing.add_argument("--wait", type=float, default=0, metavar="S", help="most seconds to wait for the phase")
    bringing.add_argument("--most-bytes", type=float, default=math.inf, metavar="B", help="most bytes to copy at once")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
