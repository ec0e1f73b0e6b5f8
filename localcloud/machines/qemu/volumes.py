"""Data volumes of a virtual machine: SCSI disks, which every machine type can attach and detach while it runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from localcloud.machines.errors import MachineError
from localcloud.machines.interface import DataVolume
from localcloud.machines.qemu import qmp

BUS = "volumes"
Run = Callable[[Sequence[str], bytes, float], tuple[int, bytes, bytes]]


def volume_argv(volumes: Sequence[DataVolume]) -> list[str]:
    """Return QEMU's arguments for the controller and for the disks that are attached at boot."""
    words = ["-device", f"virtio-scsi-pci,id={BUS}"]
    for volume in volumes:
        words += ["-blockdev", json.dumps(blockdev(volume)), "-device", json.dumps(scsi_device(volume))]
    return words


def blockdev(volume: DataVolume) -> dict[str, Any]:
    """Return the arguments of -blockdev and blockdev-add. Without flushes: the data survives QEMU, not a power loss."""
    file = {"driver": "file", "filename": str(volume.disk)}
    return {"driver": "raw", "node-name": volume.serial, "discard": "unmap", "cache": {"no-flush": True}, "file": file}


def scsi_device(volume: DataVolume) -> dict[str, Any]:
    """Return the arguments of -device and device_add. The base image's udev rule derives the Nitro name from the serial."""
    serial = volume.serial
    return {"driver": "scsi-hd", "id": f"disk-{serial}", "bus": f"{BUS}.0", "drive": serial, "serial": serial}


class Volumes:
    """The volumes of one running virtual machine."""

    def __init__(self, control: Path, volumes: Sequence[DataVolume], run: Run) -> None:
        self._control, self._run = control, run
        self._lock = threading.Lock()
        self._attached = {volume.volume_id: volume for volume in volumes}

    def add(self, volume: DataVolume) -> None:
        """Attach a volume. Raises MachineError if QEMU refuses."""
        with self._lock:
            if volume.volume_id in self._attached:
                return
            qmp.execute(self._control, "blockdev-add", blockdev(volume))
            try:
                qmp.execute(self._control, "device_add", scsi_device(volume))
            except MachineError:
                qmp.execute(self._control, "blockdev-del", {"node-name": volume.serial})
                raise
            self._attached[volume.volume_id] = volume

    def remove(self, volume_id: str) -> bool:
        """Detach a volume. Returns False while the guest reports it as mounted: QEMU would detach it regardless."""
        with self._lock:
            volume = self._attached.get(volume_id)
            if volume is None:
                return True
            with suppress(MachineError, TimeoutError):  # the guest accepts no commands
                if self._run(("findmnt", "--source", f"/dev/disk/by-id/{volume.device_name}"), b"", 20)[0] == 0:
                    return False
            qmp.execute(self._control, "device_del", {"id": f"disk-{volume.serial}"})
            qmp.execute_with_retry(self._control, "blockdev-del", {"node-name": volume.serial})
            del self._attached[volume_id]
            return True

    def resize(self, volume_id: str, size: int) -> None:
        """Notify the guest that a disk has grown."""
        with self._lock:
            if volume := self._attached.get(volume_id):
                qmp.execute(self._control, "block_resize", {"node-name": volume.serial, "size": size})
