"""Disk files: sparse copies, growth with their file system, and disk usage."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, require_tools, tool_path


@dataclass(frozen=True)
class DiskUsage:
    """Bytes of a disk file: its apparent size, and its allocated blocks on this host."""

    apparent: int
    allocated: int


def measure(path: Path) -> DiskUsage:
    status = path.stat()
    return DiskUsage(apparent=status.st_size, allocated=status.st_blocks * 512)


def copy(source: Path, target: Path) -> None:
    """Copy a disk file atomically, with shared blocks if the file system supports them, and with its holes. Raises MachineError
    if the disk is full or `source` does not exist."""
    partial = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run(["cp", "--reflink=auto", "--sparse=auto", "--", str(source), str(partial)], f"copy {source.name}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def grow(path: Path, size: int) -> None:
    """Grow a disk that is not in use, and its ext4 file system, to at least `size` bytes. Never shrinks a disk. Works on the
    file, so that it needs neither root nor a loop device; a container's guest, which cannot see its block device, could not
    grow the file system itself."""
    size -= size % 4096
    if path.stat().st_size >= size:
        return
    require_tools(["e2fsck", "resize2fs"], f"grow {path.name}")
    # Replays the journal of a machine that lost power; exit code 1 means that errors were corrected.
    _run([tool_path("e2fsck"), "-f", "-p", str(path)], f"check {path.name}", accepted=(0, 1))
    os.truncate(path, size)
    _run([tool_path("resize2fs"), "-f", str(path)], f"grow {path.name}")


def _run(argv: list[str], purpose: str, accepted: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode not in accepted:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise MachineError(f"cannot {purpose}: {lines[-1] if lines else f'{argv[0]} ended with {done.returncode}'}")
