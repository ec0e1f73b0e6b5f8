"""The part that both drivers' machines share: a supervised process, commands, volumes and the console."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from localcloud.machines.console import read_tail
from localcloud.machines.errors import MachineError
from localcloud.machines.guest_exec import CommandResult
from localcloud.machines.interface import DataVolume, MachineSpec


class Volumes(Protocol):
    """The data volumes of a running machine."""

    def add(self, volume: DataVolume) -> None: ...
    def remove(self, volume_id: str) -> bool: ...
    def resize(self, volume_id: str, size: int) -> None: ...


class SupervisedMachine:
    """A machine below a supervisor process; see interface.Machine. A driver adds start, stop, kill and freeze."""

    _volumes: Volumes

    def __init__(self, spec: MachineSpec) -> None:
        self._spec = spec
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        raise NotImplementedError

    def is_alive(self) -> bool:
        process = self._process
        if process is None:
            return False
        if process.poll() is None:
            return True
        self.kill()  # the guest powered itself off: release its resources
        return False

    def attach_volume(self, volume: DataVolume) -> None:
        with self._lock:
            self._check_running()
            self._volumes.add(volume)

    def detach_volume(self, volume_id: str) -> bool:
        return not self.is_alive() or self._volumes.remove(volume_id)

    def resize_volume(self, volume_id: str, size: int) -> None:
        self._volumes.resize(volume_id, size)

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> CommandResult:
        self._check_running()
        return self._execute(self._spec.folder, argv, stdin, timeout)

    def console(self) -> bytes:
        return read_tail(self._spec.folder / "console.log")

    def _execute(self, folder: Path, argv: Sequence[str], stdin: bytes, timeout: float) -> CommandResult:
        raise NotImplementedError

    def _check_disk(self) -> None:
        if not self._spec.disk.is_file():
            problem = f"its disk {self._spec.disk} does not exist"
            raise MachineError(f"cannot start machine {self._spec.instance_id}: {problem}")

    def _check_running(self) -> None:
        if not self.is_alive():
            raise MachineError(f"machine {self._spec.instance_id} is off")
