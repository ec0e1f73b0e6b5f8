"""A driver of machines in memory, and a server process that uses it, for tests without root."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud import machines
from localcloud.machines.errors import MachineError
from localcloud.machines.interface import DataVolume, MachineSpec
from localcloud.server import app
from localcloud.state_dir import StateDir
from localcloud.storage import base_image, disks

GIB = 1024**3


class MemoryMachine:
    """A machine that records the calls in `events`. Tests write its data into spec.disk."""

    deaf = False  # accepts no commands

    def __init__(self, spec: MachineSpec, driver: MemoryDriver) -> None:
        self.spec, self.driver, self.on = spec, driver, False
        self.events: list[str] = []
        self.ports: frozenset[int] = frozenset()
        self.volumes: dict[str, DataVolume] = {}
        self.mounted: set[str] = set()  # ids of volumes that the guest has mounted

    def start(self) -> None:
        if self.driver.broken:
            raise MachineError("the fake driver is broken")
        assert self.spec.imds_socket.is_socket()
        assert self.spec.api_socket.is_socket()
        assert self.spec.disk.stat().st_size >= GIB
        for volume in self.spec.volumes:
            assert volume.disk.stat().st_size >= GIB
        self.on, self.ports = True, self.spec.ports
        self.volumes = {volume.volume_id: volume for volume in self.spec.volumes}
        self.events.append("start")

    def open_ports(self, ports: frozenset[int]) -> None:
        self.ports = ports

    def stop(self, timeout: float) -> None:
        self.events.append("stop")
        self.on = False

    def kill(self) -> None:
        self.events.append("kill")
        self.on = False

    def is_alive(self) -> bool:
        return self.on

    @contextlib.contextmanager
    def freeze(self) -> Iterator[None]:
        self.events.append("freeze")
        yield

    def attach_volume(self, volume: DataVolume) -> None:
        if self.driver.broken:
            raise MachineError("the fake driver is broken")
        assert volume.disk.stat().st_size >= GIB
        self.volumes[volume.volume_id] = volume

    def detach_volume(self, volume_id: str) -> bool:
        if volume_id in self.mounted:
            return False
        self.volumes.pop(volume_id, None)
        return True

    def resize_volume(self, volume_id: str, size: int) -> None:
        assert self.volumes[volume_id].disk.stat().st_size == size
        self.events.append(f"resize {volume_id}")

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        """Run the command on the host."""
        if self.deaf or not self.on:
            raise MachineError("the machine accepts no commands")
        if argv[0] == "systemctl":
            return 0, b"", b""
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        return done.returncode, done.stdout, done.stderr

    def console(self) -> bytes:
        return b"\x1b[0mbooted \xed\x95\x9c\n"


class MemoryDriver:
    name = "memory"

    def __init__(self) -> None:
        self.broken = False
        self.machines: list[MemoryMachine] = []

    def machine(self, spec: MachineSpec) -> MemoryMachine:
        self.machines.append(MemoryMachine(spec, self))
        return self.machines[-1]

    def launched(self, instance_id: str) -> list[MemoryMachine]:
        return [machine for machine in self.machines if machine.spec.instance_id == instance_id]


@dataclass(frozen=True)
class FakeBase:
    path: Path
    name: str = "debian-12-amd64-20260101-local"
    digest: str = "0" * 64
    created: str = "2026-01-01T00:00:00Z"
    packages: tuple[tuple[str, str], ...] = ()


def make_base(folder: Path) -> FakeBase:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "root.raw"
    path.write_bytes(b"base image")
    os.truncate(path, GIB)  # sparse
    path.chmod(0o444)
    return FakeBase(path)


def grow(path: Path, size: int) -> None:
    """Replace disks.grow, as these disks have no file system."""
    if path.stat().st_size < size:
        os.truncate(path, size)


if __name__ == "__main__":  # runs like `python -m localcloud serve`
    disks.grow = grow
    folder = StateDir.at(None)
    machines.choose_driver = lambda _: MemoryDriver()  # type: ignore[assignment]
    base_image.ensure_base_image = lambda cache, log: (log("created a base image"), make_base(cache))[1]  # type: ignore[assignment]
    if os.environ.get("FAKE_FAILURE"):
        sys.exit("no machines today")
    app.serve(folder, lambda line: print(line, file=sys.stderr, flush=True))
