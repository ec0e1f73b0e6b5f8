"""Data volumes of a container: device nodes of loop devices, which the kernel frees with the last who uses them."""

from __future__ import annotations

import ctypes
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from localcloud.machines import loop_devices
from localcloud.machines.errors import MachineError
from localcloud.machines.interface import DataVolume

DETACH_SECONDS = 0.5
"""How long a device may stay busy without a mount in the guest: the host's own udev looks at it, say."""


class Volumes:
    """The volumes of one container."""

    def __init__(self) -> None:
        self._plugged: dict[str, tuple[DataVolume, loop_devices.LoopDevice]] = {}
        self._leaving: dict[str, Path] = {}  # disks of volumes that the guest has not let go of

    def device_numbers(self) -> dict[str, int]:
        """Device numbers by the names that the guest knows them by."""
        return {volume.device_name: loop.number for volume, loop in self._plugged.values()}

    def add(self, volume: DataVolume, devices: Path | None) -> None:
        """Attach it, and make its node in the guest's folder of devices where that is there. Raises MachineError."""
        if volume.volume_id in self._plugged:
            return
        loop = loop_devices.attach(volume.disk)
        try:
            if devices is not None:
                os.mknod(devices / volume.device_name, 0o660 | stat.S_IFBLK, loop.number)
        except OSError as error:
            loop.close()
            raise MachineError(f"cannot attach {volume.volume_id}: {error}") from error
        self._plugged[volume.volume_id] = (volume, loop)

    def remove(self, volume_id: str, devices: Path | None) -> bool:
        """False until the last mount is gone, in whatever mount namespace of the guest that is."""
        if volume_id in self._plugged:
            volume, loop = self._plugged.pop(volume_id)
            if devices is not None:
                (devices / volume.device_name).unlink(missing_ok=True)
            loop.close()
            self._leaving[volume_id] = volume.disk
        if volume_id not in self._leaving:
            return True
        deadline = time.monotonic() + DETACH_SECONDS
        while loop_devices.find_devices(self._leaving[volume_id]):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        del self._leaving[volume_id]
        return True

    def resize(self, volume_id: str, size: int) -> None:
        if volume_id in self._plugged:
            self._plugged[volume_id][1].resized(size)

    def flush(self, processes: Sequence[int]) -> None:
        """All that the container's processes, which are held still, have written to its volumes."""
        for _, loop in self._plugged.values():
            for mounted in _mount_points(loop.number, processes):
                with suppress(NotADirectoryError):  # a single file of it, bound somewhere
                    sync_file_system(mounted)
            loop.write_out()

    def close(self) -> None:
        """Release all, once the container is gone."""
        for volume, loop in self._plugged.values():
            loop.close()
            self._leaving[volume.volume_id] = volume.disk
        for disk in self._leaving.values():
            loop_devices.release(disk)
        self._plugged, self._leaving = {}, {}


def sync_file_system(folder: Path) -> None:
    """Write a mounted file system out to its disk file (syncfs(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise MachineError(f"cannot write out {folder}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def _mount_points(device: int, processes: Sequence[int]) -> Iterator[Path]:
    """Where these processes have a device mounted, one place for each of their mount namespaces."""
    seen = set()
    number = f"{os.major(device)}:{os.minor(device)}"
    for pid in processes:
        with suppress(OSError):  # a process that has just ended
            if (namespace := Path(f"/proc/{pid}/ns/mnt").readlink()) in seen:
                continue
            seen.add(namespace)
            for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
                fields = line.split()
                if fields[2] == number:
                    yield Path(f"/proc/{pid}/root" + fields[4].encode().decode("unicode_escape"))
