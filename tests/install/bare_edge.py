"""Install a wheel into a bare virtual environment, outside the repository, and serve a picture from it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import httpx
from PIL import Image

from service.demo.children import free_port

START_LIMIT_S = 300


def serve_from(wheel: Path, folder: Path, *, torch: str) -> str:
    """Return a sentence about the picture that the installed edge served. Raises if it serves none."""
    home = folder / "bare"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", torch, wheel], check=True, stdout=sys.stderr)
    pictures = folder / "pictures"
    pictures.mkdir()
    Image.radial_gradient("L").convert("RGB").save(pictures / "disc.png")
    return _serve(home / "bin" / "latentedge", folder, pictures)


def _serve(program: Path, folder: Path, pictures: Path) -> str:
    port = free_port()
    # Nothing of the repository: neither its folder nor its path.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_", "PYTHON"))}
    edge = subprocess.Popen(
        [program, "serve", "--port", str(port)], cwd=folder, env=environment | {"EDGE_ORIGIN": f"file://{pictures}"}
    )
    started_s = time.monotonic()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            _wait_until_ready(client, edge)
            ready_s = time.monotonic() - started_s
            answer = client.get("/image/disc.png?res=medium").raise_for_status()
            return f"ready after {ready_s:.1f} s; {len(answer.content)} bytes: {answer.headers['cache-status']}"
    finally:
        edge.terminate()
        edge.wait(60)


def _wait_until_ready(client: httpx.Client, edge: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while edge.poll() is None and time.monotonic() < deadline_s:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the installed edge is not ready")
