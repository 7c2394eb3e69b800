"""Format the edge's own log on stderr as JSON lines. Logs nothing itself."""

from __future__ import annotations

import json
import logging
from typing import TextIO


class JsonLines(logging.Formatter):
    """A formatter that writes one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger and message as JSON, and the traceback if there is one."""
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
    """Send the edge's own log to a stream, from `level` upwards: debug, info, warning or error."""
    lines = logging.StreamHandler(stream)
    lines.setFormatter(JsonLines())
    edge = logging.getLogger("service")
    edge.handlers = [lines]
    edge.setLevel(level.upper())
    edge.propagate = False
