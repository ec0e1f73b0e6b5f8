"""A place for disks whose copies share their blocks: a copy of a gigabyte takes milliseconds and no room of its own.

Most file systems cannot do that. Where this machine's cannot and we are root, the disks lie in an XFS of their own, in one
sparse file of the state folder. It is mounted in a mount namespace of the server alone, so that the kernel takes the mount
away with the server, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.machines import loop_devices
from localcloud.machines.errors import find_tool
from localcloud.state_dir import StateDir

_CLONE_NEWNS = 0x00020000
_SMALLEST = 16 << 30


def mount_disk_store(folder: StateDir, log: Callable[[str], None]) -> bool:
    """Mount the place for disks, and make it before the first time; False where disks are copied block by block.

    To be called before the process has a second thread: it moves to a mount namespace of its own.

    Raises:
        CloudError: There is such a place, but it cannot be mounted.
    """
    store = folder.disk_store
    if not store.exists() and (_has_disks(folder) or supports_reflinks(folder.disks)):
        return False
    why_not = _unavailable_reason()
    if why_not is None and not store.exists():
        why_not = _create(store)
    why_not = why_not or _mount(store, folder.disks)
    if why_not is None:
        return True
    if store.exists():
        raise CloudError(f"The disks in {store} cannot be reached: {why_not}. Mend that, or ./invoke local.reset --yes")
    log(f"disks are copied block by block ({why_not})")
    return False


def unmount_disk_store(folder: StateDir) -> None:
    """Unmount it again and wait until its loop device is free; nothing to do where there is none."""
    if folder.disks.is_mount():
        _run(["umount", str(folder.disks)])
        loop_devices.release(folder.disk_store)


def supports_reflinks(folder: Path) -> bool:
    """Whether copies of files in this folder share their blocks."""
    probe, copy = folder / ".probe", folder / ".probe-copy"
    try:
        probe.write_bytes(b"x" * 4096)
        return _run(["cp", "--reflink=always", str(probe), str(copy)]) is None
    finally:
        probe.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)


def _has_disks(folder: StateDir) -> bool:
    return any(any(place.iterdir()) for place in (folder.volumes, folder.snapshots) if place.is_dir())


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
    """An empty XFS, as large as it may ever grow; it takes only what is written to it."""
    size = max(_SMALLEST, os.statvfs(store.parent).f_blocks * os.statvfs(store.parent).f_frsize)
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
    """Whether this kernel takes it."""
    place = new.parent / "disks"
    failed = _mount(new, place)
    if failed is None:
        _run(["umount", str(place)])
        loop_devices.release(new)
    return failed


def _mount(store: Path, place: Path) -> str | None:
    # Discarded blocks go back to the machine's own file system.
    return _run(["mount", "-t", "xfs", "-o", "loop,discard,noatime", str(store), str(place)])


def _run(argv: list[str]) -> str | None:
    """What a command complains about; None when it succeeds."""
    done = subprocess.run([find_tool(argv[0]) or argv[0], *argv[1:]], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"{argv[0]} ended with {done.returncode}"
