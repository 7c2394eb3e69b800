"""Ten thousand damaged bitstreams, in a child process so that an abort counts.

Each gives a typed error or the identical picture.
"""

import json
import subprocess
import sys

CASES = 10_000
SLOWEST_MS = 50.0
GROWTH_BYTES = 20 << 20


def test_no_corruption_crashes_lingers_leaks_or_gives_another_picture() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.corruptions", str(CASES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["cases"] == CASES
    assert report["other_pictures"] == 0
    assert report["typed_errors"] + report["identical"] == CASES
    assert report["growth_bytes"] < GROWTH_BYTES
    # CPU time of the case itself, so that a busy machine does not fail the test
    assert report["slowest_ms"] < SLOWEST_MS
