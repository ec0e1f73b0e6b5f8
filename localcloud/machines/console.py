"""The end of a machine's console, as GetConsoleOutput gives it (the most recent 64 KB)."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 64 * 1024


def read_tail(path: Path, limit: int = LIMIT) -> bytes:
    """The last `limit` bytes, or nothing when the machine never ran."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read()
    except FileNotFoundError:
        return b""
