"""Loop devices of disk files, set up so that the kernel frees them with their last user."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, tool_path

# linux/loop.h
_CONFIGURE, _SET_CAPACITY, _GET_FREE = 0x4C0A, 0x4C07, 0x4C82
_AUTOCLEAR = 4
_CONFIG = struct.Struct("=II 5Q 4I 64s 64s 32s 2Q 8Q")


@dataclass(frozen=True)
class LoopDevice:
    """A loop device held open. The kernel frees it once neither this process nor a mount uses it."""

    disk: Path
    descriptor: int

    @property
    def device_number(self) -> int:
        """Device number (st_rdev of stat(2))."""
        return os.fstat(self.descriptor).st_rdev

    def flush(self) -> None:
        """Write data that was written to the device directly, not through a file system, to its file."""
        os.fsync(self.descriptor)

    def update_size(self, size: int) -> None:
        """Adopt the current size of the disk. Raises MachineError if it is not `size` bytes."""
        if self.disk.stat().st_size != size:
            raise MachineError(f"{self.disk.name} does not have {size} bytes")
        fcntl.ioctl(self.descriptor, _SET_CAPACITY)

    def close(self) -> None:
        os.close(self.descriptor)


def attach(disk: Path) -> LoopDevice:
    """Set up a loop device for a disk that has none. Raises MachineError."""
    if devices := find_devices(disk):
        raise MachineError(f"cannot attach {disk.name}: it is in use by {devices[0]}")
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
                    if error.errno != errno.EBUSY:  # else another process took the device first
                        raise
                else:
                    return LoopDevice(disk, device)
    except OSError as error:
        raise MachineError(f"cannot attach {disk.name}: no loop device for it ({error})") from error


def find_devices(disk: Path) -> list[str]:
    """Return the devices (/dev/loopN) that are attached to this file."""
    devices = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip().removesuffix(" (deleted)")
        except OSError:  # detached between the listing and the reading
            continue
        if file == str(disk):
            devices.append(f"/dev/{backing.parent.parent.name}")
    return sorted(devices)


def release(disk: Path, timeout: float = 10.0) -> None:
    """Wait until the kernel has freed the file's loop devices, then detach those that remain."""
    deadline = time.monotonic() + timeout
    while find_devices(disk) and time.monotonic() < deadline:
        time.sleep(0.01)
    for device in find_devices(disk):
        subprocess.run([tool_path("losetup"), "--detach", device], check=False, capture_output=True)
