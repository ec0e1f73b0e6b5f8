"""Loop devices of disk files: made so that they go with who uses them, found, and gone after a machine."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, find_tool

# linux/loop.h
_CONFIGURE, _SET_CAPACITY, _GET_FREE = 0x4C0A, 0x4C07, 0x4C82
_AUTOCLEAR = 4
_CONFIG = struct.Struct("=II 5Q 4I 64s 64s 32s 2Q 8Q")


@dataclass(frozen=True)
class LoopDevice:
    """A loop device that is held open: the kernel frees it once neither we nor a mount use it, however we end."""

    disk: Path
    descriptor: int

    @property
    def number(self) -> int:
        """As stat(2) gives a device's number."""
        return os.fstat(self.descriptor).st_rdev

    def write_out(self) -> None:
        """What was written to the device itself, past file systems, to its file."""
        os.fsync(self.descriptor)

    def resized(self, size: int) -> None:
        """Take over the size that the disk has now. Raises MachineError when it is not `size` bytes."""
        if self.disk.stat().st_size != size:
            raise MachineError(f"{self.disk.name} does not have {size} bytes")
        fcntl.ioctl(self.descriptor, _SET_CAPACITY)

    def close(self) -> None:
        os.close(self.descriptor)


def attach(disk: Path) -> LoopDevice:
    """A loop device for a disk that has none. Raises MachineError."""
    if taken := find_devices(disk):
        raise MachineError(f"cannot attach {disk.name}: it is in use by {taken[0]}")
    try:
        with Path("/dev/loop-control").open("rb") as control, disk.open("r+b") as file:
            while True:
                number = fcntl.ioctl(control, _GET_FREE)
                device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
                try:
                    name = disk.name.encode()[:63]
                    config = (file.fileno(), 0, *(0,) * 5, number, 0, 0, _AUTOCLEAR, name, b"", b"", *(0,) * 10)
                    fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(*config))
                except OSError as error:
                    os.close(device)
                    if error.errno != errno.EBUSY:  # else somebody was faster
                        raise
                else:
                    return LoopDevice(disk, device)
    except OSError as error:
        raise MachineError(f"cannot attach {disk.name}: no loop device for it ({error})") from error


def find_devices(disk: Path) -> list[str]:
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
    while find_devices(disk) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = find_devices(disk)
    for device in left:
        subprocess.run([find_tool("losetup") or "losetup", "--detach", device], check=False, capture_output=True)
    return left
