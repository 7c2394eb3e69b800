"""Starts the rivals, each as it would be run: one worker, JPEG of quality 85, nothing kept of what was made.

Those that come from PyPI live in an environment of their own (`make .venv-rivals`). One that is not there is left out,
and the reason is told.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.demo.children import HOST, free_port
from tests.bench.contest import Contestant
from tests.bench.contest import Path as PicturePath
from tests.bench.servers import NotStartedError, started

HERE = Path(__file__).parent
RIVALS = HERE.parent.parent / ".venv-rivals" / "bin"

THUMBOR = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {folder!r}
STORAGE = "thumbor.storages.no_storage"
RESULT_STORAGE = None
ENGINE = "thumbor.engines.pil"
QUALITY = 85
ALLOW_UNSAFE_URL = True
"""
NGINX = """
{user}
daemon off;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log stderr error;
events {{}}
http {{
  access_log off;
  sendfile on;
  types {{ image/jpeg jpg; }}
  client_body_temp_path {scratch}/nginx-body;
  proxy_temp_path {scratch}/nginx-proxy;
  fastcgi_temp_path {scratch}/nginx-fastcgi;
  uwsgi_temp_path {scratch}/nginx-uwsgi;
  scgi_temp_path {scratch}/nginx-scgi;
  server {{
    listen {host}:{port};
    root {folder};
    keepalive_requests 1000000;
    keepalive_timeout 600s;
  }}
}}
"""


@dataclass(frozen=True)
class Folders:
    """Where the same pictures lie in the form that a rival keeps."""

    sources: Path
    avif: Path
    jpeg: Path
    """A folder for each size."""
    scratch: Path


@contextmanager
def rivals(folders: Folders) -> Iterator[tuple[list[Contestant], dict[str, str]]]:
    """Those that run here, and why others do not."""
    present: list[Contestant] = []
    missing: dict[str, str] = {}
    starts: dict[str, Callable[[], AbstractContextManager[Contestant]]] = {
        "thumbor": lambda: _thumbor(folders),
        "pyvips": lambda: _of_ours("pyvips", "vips", RIVALS / "python", folders.sources, folders),
        "Pillow": lambda: _of_ours("Pillow", "pillow", Path(sys.executable), folders.sources, folders),
        "AVIF + resize": lambda: _of_ours("AVIF + resize", "avif", Path(sys.executable), folders.avif, folders),
        "nginx, files": lambda: _nginx(folders),
    }
    with ExitStack() as running:
        for name, start in starts.items():
            try:
                present.append(running.enter_context(start()))
            except (NotStartedError, OSError) as error:
                missing[name] = str(error)
        yield present, missing


def _by_query(name: str, size: str) -> str:
    return f"/{name}?res={size}"


@contextmanager
def _run(
    name: str, command: Sequence[str | Path], path: PicturePath, *, port: int, folders: Folders, **settings: str
) -> Iterator[Contestant]:
    log = folders.scratch / f"{name.split(',', maxsplit=1)[0].replace(' ', '')}.log"
    with started(command, port=port, log=log, settings=settings) as server:
        yield Contestant(name, server.pid, port, path)


def _of_ours(name: str, way: str, python: Path, folder: Path, folders: Folders) -> AbstractContextManager[Contestant]:
    port = free_port()
    uvicorn = ("-m", "uvicorn", "--factory", "rival_app:RivalApp", "--app-dir", HERE, "--lifespan", "off")
    # Its own five seconds are over before it is asked again where there are many rivals.
    kept = ("--timeout-keep-alive", "600", "--host", HOST, "--port", str(port))
    quiet = ("--log-level", "error", "--no-access-log")
    settings = {"RIVAL": way, "FOLDER": str(folder), "VIPS_CONCURRENCY": "1"}
    return _run(name, (python, *uvicorn, *kept, *quiet), _by_query, port=port, folders=folders, **settings)


def _thumbor(folders: Folders) -> AbstractContextManager[Contestant]:
    port, conf = free_port(), folders.scratch / "thumbor.conf"
    conf.write_text(THUMBOR.format(folder=str(folders.sources)))
    command = (RIVALS / "thumbor", "--ip", HOST, "--port", str(port), "--conf", conf, "--log-level", "error")

    def path(name: str, size: str) -> str:
        return f"/unsafe/{size}x{size}/{name}"

    return _run("thumbor", command, path, port=port, folders=folders)


def _nginx(folders: Folders) -> AbstractContextManager[Contestant]:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise NotStartedError("not installed (apt-get install nginx-light)")
    port, conf = free_port(), folders.scratch / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(NGINX.format(user=user, scratch=folders.scratch, host=HOST, port=port, folder=folders.jpeg))

    def path(name: str, size: str) -> str:
        return f"/{size}/{name}"

    return _run("nginx, files", (program, "-e", "stderr", "-c", conf), path, port=port, folders=folders)
