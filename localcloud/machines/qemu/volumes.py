"""Data volumes of a virtual machine: SCSI disks, which can come and go on any machine type while it runs."""

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
    """The controller, also where there is no disk yet, and the disks that are there at boot."""
    words = ["-device", f"virtio-scsi-pci,id={BUS}"]
    for volume in volumes:
        words += ["-blockdev", json.dumps(blockdev(volume)), "-device", json.dumps(scsi_device(volume))]
    return words


def blockdev(volume: DataVolume) -> dict[str, Any]:
    """As -blockdev and blockdev-add know it. No flushes: it has to survive QEMU, not a power cut of the host."""
    file = {"driver": "file", "filename": str(volume.disk)}
    return {"driver": "raw", "node-name": volume.serial, "discard": "unmap", "cache": {"no-flush": True}, "file": file}


def scsi_device(volume: DataVolume) -> dict[str, Any]:
    """The base image's udev rule makes the Nitro name of the serial."""
    serial = volume.serial
    return {"driver": "scsi-hd", "id": f"disk-{serial}", "bus": f"{BUS}.0", "drive": serial, "serial": serial}


class Volumes:
    """The volumes of one running virtual machine."""

    def __init__(self, control: Path, volumes: Sequence[DataVolume]) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._plugged = {volume.volume_id: volume for volume in volumes}

    def add(self, volume: DataVolume) -> None:
        """Raises MachineError when QEMU refuses."""
        with self._lock:
            if volume.volume_id in self._plugged:
                return
            qmp.execute(self._control, "blockdev-add", blockdev(volume))
            try:
                qmp.execute(self._control, "device_add", scsi_device(volume))
            except MachineError:
                qmp.execute(self._control, "blockdev-del", {"node-name": volume.serial})
                raise
            self._plugged[volume.volume_id] = volume

    def remove(self, volume_id: str, run: Run) -> bool:
        """False while the guest says that it has it mounted: QEMU itself would take it away all the same."""
        with self._lock:
            volume = self._plugged.get(volume_id)
            if volume is None:
                return True
            with suppress(MachineError, TimeoutError):  # a guest that takes no commands does not say
                if run(("findmnt", "--source", f"/dev/disk/by-id/{volume.device_name}"), b"", 20)[0] == 0:
                    return False
            qmp.execute(self._control, "device_del", {"id": f"disk-{volume.serial}"})
            qmp.execute_with_retry(self._control, "blockdev-del", {"node-name": volume.serial})
            del self._plugged[volume_id]
            return True

    def resize(self, volume_id: str, size: int) -> None:
        """Tell the guest of a disk that has grown."""
        with self._lock:
            if volume := self._plugged.get(volume_id):
                qmp.execute(self._control, "block_resize", {"node-name": volume.serial, "size": size})
