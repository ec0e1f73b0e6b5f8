"""AWS resources that several packages use: instances, DB instances, volumes, snapshots, quotas, orphaned resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class DbInstance:
    """RDS DB instance.

    Attributes:
        endpoint: `NAME:PORT`; empty while it has none.
        instance_class: Such as `db.t4g.micro`.
        storage: Allocated storage in GiB.
        storage_type: `gp3`, …
        version: Version of PostgreSQL, such as `15.4`.
        multi_az: True if it has a standby in another zone.
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
        """Description in one line."""
        zones = "two zones" if self.multi_az else "one zone"
        text = f"{self.instance_class}, {self.storage} GiB {self.storage_type}, PostgreSQL {self.version}, {zones}, {self.status}"
        return f"{text}, {self.endpoint}" if self.endpoint else text


@dataclass(frozen=True)
class Instance:
    """EC2 instance.

    Attributes:
        address: Its public IP address, else its private one.
        changed: When it was stopped or terminated (ISO 8601), if EC2 says it.
    """

    id: str
    state: str
    image: str
    address: str
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    launched: str = ""
    changed: str = ""


OrphanKind = Literal["instance", "volume", "snapshot", "security-group", "key-pair"]


@dataclass(frozen=True)
class OrphanedResource:
    """Resource with a run's tag that is not part of an AMI; `busy` if it is attached."""

    kind: OrphanKind
    id: str
    run_id: str
    detail: str = ""
    busy: bool = False


DATA_DEVICE = "/dev/sdf"


@dataclass(frozen=True)
class DataVolumeState:
    """Data volume.

    Attributes:
        size: In GiB.
        state: EC2's state: `creating`, `available`, `in-use`, `error`, …
        instance: The instance that it is attached to, or empty.
        attachment: State of the attachment: `attaching`, `attached`, `detaching`, `busy`, or empty.
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
    """Snapshot of a data volume, created before the volume moved to another instance."""

    id: str
    started: datetime


@dataclass(frozen=True)
class VcpuQuota:
    """Quota of the account for on-demand instances of the standard families.

    Attributes:
        quota: Number of vCPUs that may run at once; None if it cannot be read.
        used: Number of vCPUs that are running.
        vcpus_per_instance: Number of vCPUs of one instance of the fleet.
    """

    quota: int | None
    used: int
    vcpus_per_instance: int
