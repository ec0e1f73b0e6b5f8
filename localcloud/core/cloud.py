"""What the parts of the running cloud share: folder, lock, store, driver, addresses, faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.rds.models import rds_backends

from localcloud.core.addresses import AddressPool
from localcloud.core.faults import Faults
from localcloud.core.queues import WorkQueues
from localcloud.state_dir import StateDir
from localcloud.storage.snapshot import Store

if TYPE_CHECKING:
    from localcloud.machines.interface import Driver


ACCOUNT = "123456789012"
REGION = "ap-northeast-2"


class BaseImage(Protocol):
    """The public image that the cloud starts with (localcloud.baseimage builds it)."""

    @property
    def path(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def created(self) -> str: ...


@dataclass
class Cloud:
    """One running local cloud. moto's backends are global to the process, so there is one in a process."""

    state_dir: StateDir
    driver: Driver
    base: BaseImage
    prefix: str
    region: str = REGION
    lock: threading.RLock = field(default_factory=threading.RLock)
    queues: WorkQueues = field(default_factory=WorkQueues)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.store = Store(self.state_dir)
        self.addresses = AddressPool(self.prefix, used_addresses)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Change what the API knows, from a line: under the lock, and kept on the disk after it."""
        with self.lock:
            yield
            self.store.save()


def backends() -> list[Any]:
    """moto's EC2 backends of all regions that were used."""
    return [backend for _, _, backend in list(ec2_backends.iter_backends())]


def list_instances() -> list[Any]:
    """All instances that the API knows, terminated ones too."""
    return [
        instance
        for backend in backends()
        for reservation in list(backend.reservations.values())
        for instance in reservation.instances
    ]


def list_images() -> list[Any]:
    return [image for backend in backends() for image in list(backend.amis.values())]


def used_addresses() -> list[str | None]:
    machines = [address for instance in list_instances() for address in (instance.public_ip, machine_address(instance))]
    databases = [
        getattr(database, "own_address", None)
        for _, _, one in list(rds_backends.iter_backends())
        for database in one.databases.values()
    ]
    return (
        machines
        + databases
        + [
            balancer.dns_name
            for _, _, one in list(elbv2_backends.iter_backends())
            for balancer in one.load_balancers.values()
        ]
    )


def machine_address(instance: Any) -> str | None:
    """The address that the machine's ports are on; kept until the machine is off, also without a public IP."""
    address: str | None = getattr(instance, "machine_address", None)
    return address
