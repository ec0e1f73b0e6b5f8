"""Disk files: copy them sparsely, make them larger with their file system, measure them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, find_tool, require_tools


@dataclass(frozen=True)
class DiskUsage:
    """Bytes of a disk file: as the machine sees it, and as it weighs on this machine's own disk."""

    apparent: int
    allocated: int


def measure(path: Path) -> DiskUsage:
    status = path.stat()
    return DiskUsage(apparent=status.st_size, allocated=status.st_blocks * 512)


def copy(source: Path, target: Path) -> None:
    """Copy a disk file: shared blocks where the file system can, holes kept; `target` appears whole or not at all.

    Raises MachineError when there is no room, or `source` is not there.
    """
    partial = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run(["cp", "--reflink=auto", "--sparse=auto", "--", str(source), str(partial)], f"copy {source.name}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def grow(path: Path, size: int) -> None:
    """Make a disk that no machine runs at least `size` bytes, and fill it with its ext4 file system.

    A disk that is already as large is left alone: as on EC2, a volume never shrinks. Done on the file, so that it
    needs neither root nor a loop device, and a container's guest (which cannot see its block device) need not do it.
    """
    size -= size % 4096
    if path.stat().st_size >= size:
        return
    require_tools(["e2fsck", "resize2fs"], f"grow {path.name}")
    # A machine that was cut off leaves its journal to be replayed first; 1 means that errors were corrected.
    _run([find_tool("e2fsck") or "e2fsck", "-f", "-p", str(path)], f"check {path.name}", good=(0, 1))
    os.truncate(path, size)
    _run([find_tool("resize2fs") or "resize2fs", "-f", str(path)], f"grow {path.name}")


def _run(argv: list[str], purpose: str, good: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode not in good:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise MachineError(f"cannot {purpose}: {lines[-1] if lines else f'{argv[0]} ended with {done.returncode}'}")
