"""Resources, storage and status of a fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from goldenami.database.release_plan import SchemaChange
from goldenami.database.switchover_model import Switchover, WriteFreeze
from goldenami.model.fleet import AutoScalingGroup, FleetInstance, FleetState
from goldenami.model.image import Image
from goldenami.model.resources import Instance
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


ServiceState = Literal["serving", "degraded", "not serving"]

# Exit codes of `status` (documented in docs/operations.md).
EXIT_CODES: Mapping[ServiceState, int] = {"serving": 0, "degraded": 8, "not serving": 9}


@dataclass(frozen=True)
class ServiceProbe:
    """Requests to the service's health path: through the load balancer, or to an instance if there is none.

    Attributes:
        detail: The response to the last request, or to the last one that failed.
        answered: False if the address cannot be reached from here, which says nothing about the service.
    """

    detail: str
    succeeded: int = 0
    failed: int = 0
    answered: bool = True


@dataclass(frozen=True)
class FleetObservation:
    """What AWS and the service itself report of a fleet now.

    Attributes:
        probe: None if there is no address to send a request to.
        missing_balancer: Name of the load balancer that the recipe asks for and that does not exist; empty otherwise.
        standalone: Instances that are not in the group.
        stopped: Members of the group that do not run, as EC2 describes them.
        images: Existing images, by AMI id.
        lock: The lock on the fleet, whether its holder runs or not.
        activity: Time (ISO 8601) and description of the group's latest scaling activity, if the service does not respond.
    """

    fleet_state: FleetState
    probe: ServiceProbe | None = None
    missing_balancer: str = ""
    standalone: tuple[Instance, ...] = ()
    stopped: tuple[Instance, ...] = ()
    images: Mapping[str, Image] = field(default_factory=dict)
    lock: LockRecord | None = None
    lock_is_stale: bool = False
    switchover: Switchover | None = None
    freeze: WriteFreeze | None = None
    activity: tuple[str, str] = ("", "")

    @property
    def in_service(self) -> list[str]:
        """Ids of the instances that serve, as the group, the load balancer and EC2 report them."""
        groups = (self.fleet_state.group, self.fleet_state.canary.group if self.fleet_state.canary else None)
        members = [m.id for group in groups if group for m in group.members if m.serving and m.state == "running"]
        return [*members, *(i.id for i in self.standalone if i.state == "running")]

    @property
    def in_progress(self) -> bool:
        """True if a command changes the fleet now."""
        return self.lock is not None and not self.lock_is_stale


@dataclass(frozen=True)
class Drift:
    """A difference between what is and what should be, and the command that resolves it; empty if none is needed."""

    text: str
    fix: str = ""


@dataclass(frozen=True)
class Assessment:
    """Whether users are served, what is under way, what differs, and the next command.

    Attributes:
        evidence: What was seen of the service now.
        since: Time of the last change that is known to explain the state (ISO 8601); empty if none is.
        event: That change.
        next: The next command; empty if there is nothing to do.
    """

    state: ServiceState
    evidence: str
    since: str
    event: str
    under_way: tuple[str, ...]
    drift: tuple[Drift, ...]
    next: str


@dataclass(frozen=True)
class CandidateSchema:
    """The image that `promote --candidate` promotes, and how its migrations differ from those of the running image."""

    image: Image
    change: SchemaChange


@dataclass(frozen=True)
class FleetStatus:
    """Status of a fleet.

    Attributes:
        candidate: None without a release step, or if the migrations of one of the two images are not known.
        failed_promotions: The last promotions of this recipe and checkout that were refused, failed or rolled back.
    """

    observation: FleetObservation
    assessment: Assessment
    address: str
    failed_promotions: tuple[Mapping[str, Any], ...] = ()
    data: DataStorage | None = None
    candidate: CandidateSchema | None = None


@dataclass(frozen=True)
class UpdateResult:
    """An updated instance, with its commit before and after."""

    instance: FleetInstance
    before: str
    after: str
