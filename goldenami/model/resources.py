"""The server elsewhere: what it is, and what RDS is asked for when it is to be made: private, encrypted, backed up, protected
from deletion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class DbInstance:
    """A DB instance.

    Attributes:
        endpoint: `NAME:PORT`; empty until it has one.
        kind: Its class.
        storage: In GiB.
        storage_type: `gp3`, …
        version: PostgreSQL's, as RDS says it: `15.4`.
        multi_az: Whether a second one in another zone stands by.
    """

    name: str
    status: str
    endpoint: str = ""
    encrypted: bool = True
    public: bool = False
    instance_class: str = ""
    storage: int = 0
    storage_type: str = ""
    version: str = ""
    multi_az: bool = False

    @property
    def detail(self) -> str:
        """All of it on a line."""
        zones = "two zones" if self.multi_az else "one zone"
        told = f"{self.instance_class}, {self.storage} GiB {self.storage_type}, PostgreSQL {self.version}, {zones}, {self.status}"
        return f"{told}, {self.endpoint}" if self.endpoint else told


@dataclass(frozen=True)
class Instance:
    """An instance; `address` is how we reach it: its public IP, else its private one."""

    id: str
    state: str
    image: str
    address: str
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    launched: str = ""


OrphanKind = Literal["instance", "volume", "snapshot", "security-group", "key-pair"]


@dataclass(frozen=True)
class OrphanedResource:
    """Something that carries a run's tag and is not part of an AMI; `busy` while it is attached to something."""

    kind: OrphanKind
    id: str
    run_id: str
    detail: str = ""
    busy: bool = False


DATA_DEVICE = "/dev/sdf"


@dataclass(frozen=True)
class DataVolumeState:
    """A volume of ours.

    Attributes:
        size: In GiB.
        state: EC2's word: `creating`, `available`, `in-use`, `error`, …
        instance: The instance that has it; empty where none has.
        attachment: EC2's word for how: `attaching`, `attached`, `detaching`, `busy`; empty where it is not.
    """

    id: str
    zone: str
    size: int
    state: str
    instance: str = ""
    attachment: str = ""
    encrypted: bool = True


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of it, from before it went to another instance."""

    id: str
    started: datetime


@dataclass(frozen=True)
class VcpuQuota:
    """The account's room for on-demand instances of the standard families, in vCPUs.

    Attributes:
        quota: How many may run at once; None where that cannot be read.
        used: How many run now.
        each: How many one instance of the fleet has.
    """

    quota: int | None
    used: int
    vcpus_per_instance: int
