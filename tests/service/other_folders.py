"""Folders that are full or read-only, for one command: a tmpfs of its own that only this command sees."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PRIVATE = ("unshare", "--map-root-user", "--mount")
EVERY_TEMPORARY_FOLDER = tuple(Path(path) for path in ("/tmp", "/var/tmp", "/usr/tmp", "/dev/shm"))


def with_folders(options: Mapping[Path, str]) -> tuple[str, ...]:
    """Return the start of a command that sees an empty tmpfs, with these options, in place of each folder."""
    mount = " && ".join(_mount(folder, option) for folder, option in options.items())
    if subprocess.run([*PRIVATE, "sh", "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    return (*PRIVATE, "sh", "-c", mount + ' && exec "$@"', "sh")


def _mount(folder: Path, option: str) -> str:
    needed = (Path.cwd(), Path(sys.prefix))
    if option == "ro" and any(path.is_relative_to(folder) for path in needed):  # a checkout below a temporary folder
        return f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    return f"mount -t tmpfs -o {option} none {folder}"


def without_temporary_folder(*, but: Path | None = None) -> tuple[str, ...]:
    """Return the start of a command that can write to no temporary folder, except one."""
    folders = [folder for folder in EVERY_TEMPORARY_FOLDER if folder.is_dir() and folder != but]
    here = f"PYTHONPATH={Path.cwd()}"  # the folder in which the command runs is a temporary folder too
    return ("env", "--unset=TMPDIR", "--chdir=/proc", here, *with_folders(dict.fromkeys(folders, "ro")))
