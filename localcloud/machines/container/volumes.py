"""Data volumes of a container: device nodes of loop devices, which the kernel frees with their last user."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from localcloud.machines import loop_devices
from localcloud.machines.errors import MachineError
from localcloud.machines.interface import DataVolume

DETACH_SECONDS = 0.5
"""How long a device may stay busy without a mount in the guest, such as while the host's udev reads it."""


class Volumes:
    """The volumes of one container. `devices` returns the guest's folder of device nodes; None while the machine is off."""

    def __init__(self, lock: threading.RLock, devices: Callable[[], Path | None]) -> None:
        self._lock, self._devices = lock, devices
        self._attached: dict[str, tuple[DataVolume, loop_devices.LoopDevice]] = {}
        self._detaching: dict[str, Path] = {}  # disks of volumes that the guest still uses

    def device_numbers(self) -> dict[str, int]:
        """Return the device numbers by the names that the guest sees."""
        return {volume.device_name: loop.device_number for volume, loop in self._attached.values()}

    def add(self, volume: DataVolume) -> None:
        """Attach a volume and create its device node in a running guest. Raises MachineError."""
        if volume.volume_id in self._attached:
            return
        loop = loop_devices.attach(volume.disk)
        try:
            if devices := self._devices():
                os.mknod(devices / volume.device_name, 0o660 | stat.S_IFBLK, loop.device_number)
        except OSError as error:
            loop.close()
            raise MachineError(f"cannot attach {volume.volume_id}: {error}") from error
        self._attached[volume.volume_id] = (volume, loop)

    def remove(self, volume_id: str) -> bool:
        """Detach a volume. Returns False while it is mounted in any mount namespace of the guest."""
        with self._lock:
            if volume_id in self._attached:
                volume, loop = self._attached.pop(volume_id)
                if devices := self._devices():
                    (devices / volume.device_name).unlink(missing_ok=True)
                loop.close()
                self._detaching[volume_id] = volume.disk
            if volume_id not in self._detaching:
                return True
            deadline = time.monotonic() + DETACH_SECONDS
            while loop_devices.find_devices(self._detaching[volume_id]):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.01)
            del self._detaching[volume_id]
            return True

    def resize(self, volume_id: str, size: int) -> None:
        with self._lock:
            if volume_id in self._attached:
                self._attached[volume_id][1].update_size(size)

    def flush(self, processes: Sequence[int]) -> None:
        """Write out everything that the container's processes, which are frozen, have written to its volumes."""
        for _, loop in self._attached.values():
            for mounted in _mount_points(loop.device_number, processes):
                with suppress(NotADirectoryError):  # a bind mount of a single file
                    sync_file_system(mounted)
            loop.flush()

    def close(self) -> None:
        """Release all volumes after the container has ended."""
        for volume, loop in self._attached.values():
            loop.close()
            self._detaching[volume.volume_id] = volume.disk
        for disk in self._detaching.values():
            loop_devices.release(disk)
        self._attached, self._detaching = {}, {}


def sync_file_system(folder: Path) -> None:
    """Write a mounted file system out to its disk file (syncfs(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise MachineError(f"cannot write out {folder}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def _mount_points(device: int, processes: Sequence[int]) -> Iterator[Path]:
    """Yield the mount points of a device, once for each mount namespace of these processes."""
    namespaces = set()
    number = f"{os.major(device)}:{os.minor(device)}"
    for pid in processes:
        with suppress(OSError):  # a process that has just ended
            if (namespace := Path(f"/proc/{pid}/ns/mnt").readlink()) in namespaces:
                continue
            namespaces.add(namespace)
            for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
                fields = line.split()
                if fields[2] == number:
                    yield Path(f"/proc/{pid}/root" + fields[4].encode().decode("unicode_escape"))
