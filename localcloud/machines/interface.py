"""What a machine is to the rest of the local cloud: its specification, its verbs, and the driver that makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

METADATA_ADDRESS = "169.254.169.254"
API_ADDRESS = "169.254.169.250"
GUEST_NETWORK, GUEST_ADDRESS = "169.254.0.0/16", "169.254.0.100"
GATEWAY_ADDRESS, NAME_SERVER_ADDRESS = "169.254.0.2", "169.254.0.3"
"""The network as the guest sees it, the same with every driver. A link-local range, because QEMU relays only
addresses within the guest's own network, and the metadata service's address is one of those."""


@dataclass(frozen=True)
class DataVolume:
    """A data volume as a machine sees it: a raw disk under the name that Nitro instances give their EBS volumes."""

    volume_id: str
    disk: Path

    @property
    def serial(self) -> str:
        """The volume's id without its dash: 20 characters, as many as a virtual disk's serial number may have."""
        return self.volume_id.replace("-", "")

    @property
    def device_name(self) -> str:
        """Its stable name in /dev/disk/by-id, whatever else the guest calls it.

        https://docs.aws.amazon.com/ebs/latest/userguide/nvme-ebs-volumes.html
        """
        return f"nvme-Amazon_Elastic_Block_Store_{self.serial}"


@dataclass(frozen=True)
class MachineSpec:
    """One machine. `folder` holds its console, sockets and mount point, `address` is a loopback address of its own,
    `environment` is given to the guest's services, `ports` are the TCP ports that answer at start, `volumes` are there
    before it boots."""

    instance_id: str
    disk: Path
    address: str
    folder: Path
    hostname: str
    vcpus: int
    memory_mib: int
    environment: Mapping[str, str]
    ports: frozenset[int]
    volumes: tuple[DataVolume, ...] = ()

    @property
    def range(self) -> str:
        """The cloud's own addresses: the guest reaches them as its host does."""
        return self.address.rpartition(".")[0] + ".0/24"

    @property
    def imds_socket(self) -> Path:
        return self.folder / "imds.sock"

    @property
    def api_socket(self) -> Path:
        return self.folder / "api.sock"

    @property
    def init_arguments(self) -> list[str]:
        """The environment as systemd reads it from its command line (systemd.directives(7), systemd.setenv=)."""
        return [f"systemd.setenv={name}={value}" for name, value in sorted(self.environment.items())]


class Machine(Protocol):
    """A machine that may be on or off. Every verb may be called from any thread, and again."""

    def start(self) -> None:
        """Launch it; returns when its network is in place, long before its services are up."""

    def open_ports(self, ports: frozenset[int]) -> None:
        """Make exactly these TCP ports answer on the machine's address."""

    def stop(self, timeout: float) -> None:
        """Power it off cleanly, pull the plug after `timeout` seconds, and release its disk."""

    def kill(self) -> None:
        """Pull the plug and release its disk."""

    def is_alive(self) -> bool:
        """False once it is off, also when the guest powered itself off."""

    def freeze(self) -> AbstractContextManager[None]:
        """Hold it still, with its disk written out, for as long as the context lasts."""

    def attach_volume(self, volume: DataVolume) -> None:
        """Give it a data volume while it runs; nothing to do where it has it. Raises MachineError."""

    def detach_volume(self, volume_id: str) -> bool:
        """Take a data volume away; False while the guest still has it mounted. To be asked again then."""

    def resize_volume(self, volume_id: str, size: int) -> None:
        """Tell it that the volume's disk has `size` bytes now."""

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        """Run a program in it as root: its exit code and what it printed on its two outputs.

        Raises MachineError when nobody in the machine takes commands, TimeoutError when it took longer than `timeout`
        seconds (it is ended then).
        """

    def console(self) -> bytes:
        """The end of what it printed on its console."""


class Driver(Protocol):
    """A way to make machines real."""

    @property
    def name(self) -> str: ...

    def machine(self, spec: MachineSpec) -> Machine: ...
