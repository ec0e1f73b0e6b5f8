"""The interface of machines: their specification, their operations, and the driver that creates them."""

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
"""The guest's network, the same with every driver. It is the link-local range of the metadata service's address,
because QEMU relays only addresses within the guest's own network."""


@dataclass(frozen=True)
class DataVolume:
    """A data volume of a machine: a raw disk that appears under the name that Nitro instances give to EBS volumes."""

    volume_id: str
    disk: Path

    @property
    def serial(self) -> str:
        """Volume id without its dash: 20 characters, the maximum of a virtual disk's serial number."""
        return self.volume_id.replace("-", "")

    @property
    def device_name(self) -> str:
        """Stable name in the guest's /dev/disk/by-id. https://docs.aws.amazon.com/ebs/latest/userguide/nvme-ebs-volumes.html"""
        return f"nvme-Amazon_Elastic_Block_Store_{self.serial}"


@dataclass(frozen=True)
class MachineSpec:
    """Specification of one machine. `folder` holds its console, sockets and mount point. `address` is its loopback address.
    `environment` is passed to the guest's services. `ports` are the TCP ports open at start. `volumes` are attached before it
    boots."""

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
    def cloud_range(self) -> str:
        """Address range of the cloud, which the guest reaches as its host does."""
        return self.address.rpartition(".")[0] + ".0/24"

    @property
    def imds_socket(self) -> Path:
        return self.folder / "imds.sock"

    @property
    def api_socket(self) -> Path:
        return self.folder / "api.sock"

    @property
    def init_arguments(self) -> list[str]:
        """Arguments of systemd that set the environment (systemd.directives(7), systemd.setenv=)."""
        return [f"systemd.setenv={name}={value}" for name, value in sorted(self.environment.items())]


class Machine(Protocol):
    """A machine that may be on or off. Every method is idempotent and may be called from any thread."""

    def start(self) -> None:
        """Launch the machine. Returns once its network is up, before its services are."""

    def open_ports(self, ports: frozenset[int]) -> None:
        """Open exactly these TCP ports on the machine's address."""

    def stop(self, timeout: float) -> None:
        """Shut the machine down, kill it after `timeout` seconds, and release its disk."""

    def kill(self) -> None:
        """Power the machine off without a shutdown and release its disk."""

    def is_alive(self) -> bool:
        """Return False once the machine is off, also if the guest powered itself off."""

    def freeze(self) -> AbstractContextManager[None]:
        """Flush the machine's disk and freeze it until the context ends."""

    def attach_volume(self, volume: DataVolume) -> None:
        """Attach a data volume to the running machine, unless it is attached. Raises MachineError."""

    def detach_volume(self, volume_id: str) -> bool:
        """Detach a data volume. Returns False while the guest has it mounted; call again then."""

    def resize_volume(self, volume_id: str, size: int) -> None:
        """Notify the guest that the volume's disk now has `size` bytes."""

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        """Run a program in the machine as root. Return its exit code, standard output and standard error. Raises MachineError if
        the machine accepts no commands, TimeoutError if the program took longer than `timeout` seconds (it is killed then)."""

    def console(self) -> bytes:
        """Return the end of the console output."""


class Driver(Protocol):
    """A way to run machines."""

    @property
    def name(self) -> str: ...

    def machine(self, spec: MachineSpec) -> Machine: ...
