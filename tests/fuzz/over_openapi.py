"""Cases that schemathesis makes from the edge's own OpenAPI documents, sent to real servers: none may end in a 5xx.

    python -m tests.fuzz.over_openapi SCHEMATHESIS [--seconds 1800]

Schemathesis lives in an environment of its own (see `make fuzz`). It has both tokens, so purges and latents are asked
for too. What the servers log of failures that nobody foresaw counts as well.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from service.demo.children import edge_server, free_port, origin_server
from service.demo.photographs import write_photographs

TOKEN = "of-the-fuzzer"
UNEXPECTED = re.compile(r"Traceback|failed with an unexpected error")
CASES = re.compile(r"([\d,]+) generated")


def main() -> int:
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("schemathesis", type=Path)
    read.add_argument("--seconds", type=int, default=1800, help="for each of the two documents")
    given = read.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return fuzz(given.schemathesis, scratch=Path(scratch), seconds=given.seconds)


def fuzz(schemathesis: Path, *, scratch: Path, seconds: int) -> int:
    """Return the exit code: 0 where nothing was found."""
    admin_port, log = free_port(), scratch / "edge.log"
    settings = {
        "EDGE_ADMIN_PORT": str(admin_port),
        "EDGE_ADMIN_TOKEN": TOKEN,
        "EDGE_LATENT_TOKEN": TOKEN,
        "EDGE_QUEUE_WAIT_S": "0",  # a machine that is busy with this answers 503 else, as it is to
    }
    folder = write_photographs(scratch / "photographs").folder
    with (
        origin_server(folder, log=scratch / "origin.log") as origin,
        edge_server(origin.url, log=log, port=free_port(), settings=settings) as edge,
    ):
        urls = {"pictures": edge.url, "operators": f"http://127.0.0.1:{admin_port}"}
        codes = {name: cases(schemathesis, url, name=name, seconds=seconds) for name, url in urls.items()}
    unexpected = [line for line in log.read_text(errors="replace").splitlines() if UNEXPECTED.search(line)]
    print(f"failed: {[name for name, code in codes.items() if code]}, unexpected in the log: {len(unexpected)}")
    print("\n".join(unexpected[:10]))
    return int(any(codes.values()) or bool(unexpected))


def cases(schemathesis: Path, url: str, *, name: str, seconds: int) -> int:
    """Send cases for so long. Print how many, and what they found."""
    ran = subprocess.run(
        [
            *(schemathesis, "run", f"{url}/openapi.json", "--checks", "not_a_server_error"),
            *("--phases", "examples,coverage,fuzzing", "--max-time", str(seconds), "--workers", "2"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--request-timeout", "60", "--continue-on-failure"),
            *("--suppress-health-check", "all", "--warnings", "off"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    generated = CASES.search(ran.stdout)
    print(f"{name}: {generated[1] if generated else 'no'} cases", flush=True)
    if ran.returncode:
        print(ran.stdout)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
