"""The edge's own log: one JSON object a line. What is logged, and when, is decided elsewhere."""

from __future__ import annotations

import json
import logging
from typing import TextIO


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The fields that every line has, and the traceback where there is one."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to(stream: TextIO, *, level: str = "info") -> None:
    """Send the edge's own log to a stream, from `debug`, `info`, `warning` or `error` upwards."""
    lines = logging.StreamHandler(stream)
    lines.setFormatter(JsonLines())
    edge = logging.getLogger("service")
    edge.handlers = [lines]
    edge.setLevel(level.upper())
    edge.propagate = False
