"""Resources, storage and status of a fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldenami.model.fleet import AutoScalingGroup, FleetInstance, FleetState
from goldenami.model.image import Image
from goldenami.state.lock_model import LockRecord


@dataclass(frozen=True)
class FleetResource:
    """A part of the fleet: what it is, what it is called, and whether it is there (`detail` says more); what `stays` is kept
    when the fleet is taken down.
    """

    kind: str
    name: str
    exists: bool
    detail: str = ""
    kept: bool = False


@dataclass(frozen=True)
class FleetResult:
    """A fleet that stands: its group, and where it answers."""

    fleet_state: FleetState
    group: AutoScalingGroup
    address: str
    image: Image
    run: str


PROMOTIONS_SHOWN = 8  # promotions


@dataclass(frozen=True)
class FleetStatus:
    """What there is to say; `names` tells what an AMI is called."""

    fleet_state: FleetState
    drift: tuple[str, ...]
    lock: LockRecord | None
    lock_is_stale: bool
    address: str
    names: dict[str, str]
    refused: tuple[dict[str, Any], ...]
    data: DataStorage | None = None


@dataclass(frozen=True)
class UpdateResult:
    """An instance that was updated: from which commit to which."""

    instance: FleetInstance
    before: str
    after: str


@dataclass(frozen=True)
class DataStorage:
    """What outlives the fleet's instances: what it is, what it is called, whether it is there, and what AWS says of it."""

    kind: str
    name: str
    exists: bool
    detail: str
    facts: Mapping[str, object]
