"""Who we are on this machine, and whether a process that said so is still there."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
from pathlib import Path


def machine() -> str:
    """This machine's name."""
    return platform.node() or "localhost"


def operator() -> str:
    """Return who runs this process, as `user@machine`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{machine()}"


def is_root() -> bool:
    """Whether we are root."""
    return os.geteuid() == 0


def is_own_process() -> str:
    """This process, as `pid:start`; its start tells it from a later one of the same number."""
    return f"{os.getpid()}:{_start(os.getpid())}"


def is_alive(process: str) -> bool:
    """Whether a process (as `ours` wrote it) still runs on this machine."""
    number, _, start = process.partition(":")
    try:
        with contextlib.suppress(PermissionError):  # somebody else's
            os.kill(int(number), 0)
    except (OSError, ValueError):
        return False
    return _start(int(number)) == start


def invocation() -> str:
    """The id that systemd gave this run of a service; empty where systemd did not start us.

    Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html (`INVOCATION_ID`)
    """
    return os.environ.get("INVOCATION_ID", "")


def _start(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where there is no /proc."""
    try:
        # The name in parentheses may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
