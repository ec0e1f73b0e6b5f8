"""Loop devices of disk files: which there are, and that they are gone after a machine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from localcloud.machines.errors import tool


def of(disk: Path) -> list[str]:
    """Devices (/dev/loopN) that are attached to this file."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip().removesuffix(" (deleted)")
        except OSError:  # detached between the listing and the reading
            continue
        if file == str(disk):
            found.append(f"/dev/{backing.parent.parent.name}")
    return sorted(found)


def release(disk: Path, timeout: float = 10.0) -> list[str]:
    """Wait until the kernel has freed the file's loop devices, then detach what is left. Returns the latter."""
    deadline = time.monotonic() + timeout
    while of(disk) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = of(disk)
    for device in left:
        subprocess.run([tool("losetup") or "losetup", "--detach", device], check=False, capture_output=True)
    return left
