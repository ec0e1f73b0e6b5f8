"""The running cloud: its state folder, lock, store, driver, addresses and faults, and access to moto's backends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
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
TERMINATED_STATES = ("shutting-down", "terminated")


class BaseImage(Protocol):
    """The public image of every region (storage.base_image builds it)."""

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
    """One running local cloud. moto's backends are global to the process, so a process runs one cloud."""

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
        """Change the state of the API outside of a request: under the lock, saved afterwards."""
        with self.lock:
            yield
            self.store.save()


def regional_backends(service: Any) -> list[Any]:
    """Return the backends of a service in all regions in use. `service` is such as moto.ec2.models.ec2_backends."""
    return [backend for _, _, backend in list(service.iter_backends())]


def list_instances() -> list[Any]:
    """Return all instances, including terminated ones."""
    return [
        instance
        for backend in regional_backends(ec2_backends)
        for reservation in list(backend.reservations.values())
        for instance in reservation.instances
    ]


def list_images() -> list[Any]:
    """Return all images, including the public base image of each region."""
    return [image for backend in regional_backends(ec2_backends) for image in list(backend.amis.values())]


def used_addresses() -> list[str | None]:
    """Return the addresses of all instances, databases and load balancers."""
    return [
        *(address for instance in list_instances() for address in (instance.public_ip, machine_address(instance))),
        *(
            getattr(database, "loopback_address", None)
            for backend in regional_backends(rds_backends)
            for database in backend.databases.values()
        ),
        *(balancer.dns_name for balancer in list_load_balancers()),
    ]


def list_load_balancers() -> list[Any]:
    """Return all load balancers."""
    backends = regional_backends(elbv2_backends)
    return [balancer for backend in backends for balancer in list(backend.load_balancers.values())]


def machine_address(instance: Any) -> str | None:
    """Return the address of the machine's ports, which it keeps until it is off, also without a public IP."""
    return getattr(instance, "machine_address", None)


def instance_profile(instance: Any) -> Any:
    """Return the instance profile that is associated with an instance; None if there is none."""
    association = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    if not association:
        return None
    profiles = iam_backends[ACCOUNT]["aws"].instance_profiles
    return profiles.get(association.iam_instance_profile.id, association.iam_instance_profile)
