"""Facts of this machine: host name, user, and which processes are running."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
from pathlib import Path


def machine() -> str:
    """Return the host name."""
    return platform.node() or "localhost"


def operator() -> str:
    """Return who runs this process, as `user@machine`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{machine()}"


def is_root() -> bool:
    """Return True if the process runs as root."""
    return os.geteuid() == 0


def current_process() -> str:
    """Return this process as `pid:start`; the start time distinguishes it from a later process with the same id."""
    return f"{os.getpid()}:{_start(os.getpid())}"


def is_alive(process: str) -> bool:
    """Return True if a process, given as `current_process` writes it, is running on this machine."""
    number, _, start = process.partition(":")
    try:
        with contextlib.suppress(PermissionError):  # another user's process
            os.kill(int(number), 0)
    except (OSError, ValueError):
        return False
    return _start(int(number)) == start


def systemd_invocation_id() -> str:
    """Return the id that systemd gave this run of a service; empty if systemd did not start it.

    Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html (`INVOCATION_ID`)
    """
    return os.environ.get("INVOCATION_ID", "")


def _start(pid: int) -> str:
    """Return the start time of a process in the kernel's ticks; empty if it is unknown."""
    try:
        # The program's name in parentheses may contain spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
