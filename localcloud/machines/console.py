"""The console of a machine: the most recent 64 KB, as GetConsoleOutput returns them."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 64 * 1024


def read_tail(path: Path, limit: int = LIMIT) -> bytes:
    """Return the last `limit` bytes; none if the machine never ran."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read()
    except FileNotFoundError:
        return b""
