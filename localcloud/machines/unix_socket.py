"""Short paths of UNIX sockets, whose addresses hold 107 bytes (sun_path of unix(7)), however deep their folders are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_PATH = 107  # bytes, without the terminating zero


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a path of the socket through an open descriptor of its folder, for bind() or connect()."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
