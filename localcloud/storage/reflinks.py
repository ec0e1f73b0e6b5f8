"""The disk store: an XFS with reflinks, on which a copy of a gigabyte takes milliseconds and no space. Used as root if the state
folder's file system has no reflinks. The XFS is a sparse file in the state folder, mounted in the server's own mount
namespace, so that the kernel unmounts it when the server ends."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.machines import loop_devices
from localcloud.machines.errors import find_tool, tool_path
from localcloud.state_dir import StateDir

_CLONE_NEWNS = 0x00020000
_MIN_SIZE = 16 << 30


def mount_disk_store(folder: StateDir, log: Callable[[str], None]) -> bool:
    """Mount the disk store, and create it before its first use. Returns False if disks are copied block by block. Moves the
    process to its own mount namespace: call it while the process has one thread. Raises CloudError if the disk store exists
    but cannot be mounted."""
    store = folder.disk_store
    if not store.exists() and (_has_disks(folder) or supports_reflinks(folder.disks)):
        return False
    problem = _unavailable_reason()
    if problem is None and not store.exists():
        problem = _create(store)
    problem = problem or _mount(store, folder.disks)
    if problem is None:
        return True
    if store.exists():
        raise CloudError(f"Cannot mount the disks in {store}: {problem}. Fix that, or run ./invoke local.reset --yes")
    log(f"disks are copied block by block ({problem})")
    return False


def unmount_disk_store(folder: StateDir) -> None:
    """Unmount the disk store, if it is mounted, and wait until its loop device is free."""
    if folder.disks.is_mount():
        _run(["umount", str(folder.disks)])
        loop_devices.release(folder.disk_store)


def supports_reflinks(folder: Path) -> bool:
    """Return True if copies of files in this folder share their blocks."""
    probe, copy = folder / ".probe", folder / ".probe-copy"
    try:
        probe.write_bytes(b"x" * 4096)
        return _run(["cp", "--reflink=always", str(probe), str(copy)]) is None
    finally:
        probe.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)


def _has_disks(folder: StateDir) -> bool:
    return any(any(path.iterdir()) for path in (folder.volumes, folder.snapshots) if path.is_dir())


def _unavailable_reason() -> str | None:
    if os.geteuid() != 0:
        return "only root can mount a file system that shares blocks"
    if find_tool("mkfs.xfs") is None:
        return "mkfs.xfs is missing; run: apt-get install xfsprogs"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    return _run(["mount", "--make-rprivate", "/"])


def _create(store: Path) -> str | None:
    """Create an empty sparse XFS of the host file system's size. Return the error, None on success."""
    size = max(_MIN_SIZE, os.statvfs(store.parent).f_blocks * os.statvfs(store.parent).f_frsize)
    new = store.with_name(store.name + ".new")
    new.unlink(missing_ok=True)
    with new.open("wb") as file:
        file.truncate(size)
    failed = _run(["mkfs.xfs", "-q", "-K", "-m", "reflink=1", "-l", "size=64m", str(new)]) or _try_mount(new)
    if failed:
        new.unlink()
        return failed
    new.replace(store)
    return None


def _try_mount(new: Path) -> str | None:
    """Check that this kernel can mount it. Return the error, None on success."""
    folder = new.parent / "disks"
    failed = _mount(new, folder)
    if failed is None:
        _run(["umount", str(folder)])
        loop_devices.release(new)
    return failed


def _mount(store: Path, folder: Path) -> str | None:
    # `discard` returns freed blocks to the host's file system.
    return _run(["mount", "-t", "xfs", "-o", "loop,discard,noatime", str(store), str(folder)])


def _run(argv: list[str]) -> str | None:
    """Run a command. Return its last error message, None on success."""
    done = subprocess.run([tool_path(argv[0]), *argv[1:]], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"{argv[0]} ended with {done.returncode}"
