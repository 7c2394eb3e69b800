"""The names of all metrics, as the files of service/metrics create them."""

import re

from tests.markdown_page import ROOT


def metric_names() -> set[str]:
    files = (ROOT / "service" / "metrics").glob("*.py")
    return {name for file in files for name in re.findall(r"\"(edge_[a-z_]+)\"", file.read_text(encoding="utf-8"))}
