"""Build the wheel and the source archive, check them, and look into the wheel. With --serve, install it and serve.

`make package` builds and checks, in a few seconds. `make package ARGS=--serve` also installs the wheel into a bare
environment, which takes minutes and some gigabytes (torch), starts `latentedge serve` there and requests a picture.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.install.bare_edge import serve_from
from tests.install.wheel_files import faults_of

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Return the exit code: 1 if the wheel holds something else than it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="install the wheel and serve a picture from it")
    parser.add_argument("--torch", default="torch", help="the requirement of torch for --serve")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="latentedge-install-") as folder:
        wheel = build(Path(folder))
        faults = faults_of(wheel, ROOT)
        print(*(faults or [f"{wheel.name}: {wheel.stat().st_size / 1e6:.0f} MB, with all that it needs"]), sep="\n")
        if options.serve and not faults:
            print(serve_from(wheel, Path(folder), torch=options.torch))
    return 1 if faults else 0


def build(folder: Path) -> Path:
    """Build both archives into a folder, check their descriptions, and return the wheel."""
    python = sys.executable
    subprocess.run([python, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True, stdout=sys.stderr)
    archives = sorted(folder.iterdir())
    subprocess.run([python, "-m", "twine", "check", "--strict", *archives], check=True, stdout=sys.stderr)
    (wheel,) = folder.glob("*.whl")
    return wheel


if __name__ == "__main__":
    sys.exit(main())
