"""Resources, storage and status of a fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldenami.model.fleet import AutoScalingGroup, FleetInstance, FleetState
from goldenami.model.image import Image
from goldenami.state.lock_model import LockRecord

PROMOTIONS_SHOWN = 8  # promotions


@dataclass(frozen=True)
class FleetResource:
    """An AWS resource of the fleet.

    Attributes:
        kept: True if `fleet.destroy` does not delete it.
    """

    kind: str
    name: str
    exists: bool
    detail: str = ""
    kept: bool = False


@dataclass(frozen=True)
class FleetResult:
    """A fleet in service: its state, group, address and image, and the id of the run that created it."""

    fleet_state: FleetState
    group: AutoScalingGroup
    address: str
    image: Image
    run: str


@dataclass(frozen=True)
class DataStorage:
    """Storage of the database outside the instances, with its attributes in AWS."""

    kind: str
    name: str
    exists: bool
    detail: str
    facts: Mapping[str, object]


@dataclass(frozen=True)
class FleetStatus:
    """Status of a fleet.

    Attributes:
        names: Names of the images, by AMI id.
        failed_promotions: The last promotions of this checkout that were refused, failed or rolled back.
    """

    fleet_state: FleetState
    drift: tuple[str, ...]
    lock: LockRecord | None
    lock_is_stale: bool
    address: str
    names: Mapping[str, str]
    failed_promotions: tuple[Mapping[str, Any], ...]
    data: DataStorage | None = None


@dataclass(frozen=True)
class UpdateResult:
    """An updated instance, with its commit before and after."""

    instance: FleetInstance
    before: str
    after: str
