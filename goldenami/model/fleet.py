"""The fleet as it is: what a promotion reads before it decides anything. Facts of AWS, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# An instance refresh in one of these states still does something.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html
REFRESH_RUNNING = frozenset({"Pending", "InProgress", "Baking"})
REFRESH_ENDING = frozenset({"Cancelling", "RollbackInProgress"})


@dataclass(frozen=True)
class LaunchTemplateVersion:
    """A numbered version of the launch template.

    Attributes:
        data: The launch template data, as EC2 describes it.
    """

    number: int
    data: Mapping[str, Any]
    description: str = ""

    @property
    def image(self) -> str:
        """What it launches: a literal AMI id, or `resolve:ssm:…`."""
        return str(self.data.get("ImageId", ""))

    @property
    def instance_type(self) -> str:
        """The instance type, or empty."""
        return str(self.data.get("InstanceType", ""))

    def root_gib(self, device: str) -> int:
        """The size that it sets for the root volume, in GiB; 0 when it leaves that to the image."""
        found = [m for m in self.data.get("BlockDeviceMappings", []) if m.get("DeviceName") == device]
        return int(found[0].get("Ebs", {}).get("VolumeSize", 0)) if found else 0


@dataclass(frozen=True)
class LaunchTemplate:
    """The launch template with every version, by number."""

    id: str
    name: str
    default: int
    latest: int
    versions: Mapping[int, LaunchTemplateVersion]


@dataclass(frozen=True)
class GroupInstance:
    """An instance of the group.

    Attributes:
        version: The launch template's version that it was launched from, as the group knows it.
        lifecycle: The group's word: `Pending`, `InService`, `Terminating`, …
        healthy: What the group thinks of it.
        target: Its state in the target group (`healthy`, `initial`, `draining`, …); empty where there is none.
        address: How we reach it.
    """

    id: str
    version: int
    lifecycle: str
    healthy: bool
    zone: str = ""
    image: str = ""
    address: str = ""
    state: str = ""
    target: str = ""
    launched: str = ""
    protected: bool = False
    drifted: str = ""

    @property
    def serving(self) -> bool:
        """Whether it serves users: in service, well to the group, and healthy to the balancer where there is one."""
        return self.lifecycle == "InService" and self.healthy and self.target in ("", "healthy")


@dataclass(frozen=True)
class AutoScalingGroup:
    """The Auto Scaling group.

    Attributes:
        version: The template version that it launches, as it is set: a number, `$Latest` or `$Default`.
        suspended: Processes that somebody has suspended.
    """

    name: str
    template_id: str
    version: str
    min: int
    max: int
    desired: int
    members: tuple[GroupInstance, ...] = ()
    target_groups: tuple[str, ...] = ()
    grace: int = 300
    health_check: str = "ELB"
    suspended: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()

    @property
    def number(self) -> int | None:
        """The template version as a number, or None for `$Latest` and `$Default`."""
        return int(self.version) if self.version.isdigit() else None


@dataclass(frozen=True)
class InstanceRefresh:
    """An instance refresh.

    Attributes:
        version: The template version that it brings; None for one without a desired configuration.
        percent: How much is done.
    """

    id: str
    status: str
    version: int | None = None
    percent: int = 0
    to_update: int = 0
    reason: str = ""
    started: str = ""
    ended: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it can still change the fleet forward, and be rolled back."""
        return self.status in REFRESH_RUNNING

    @property
    def is_ending(self) -> bool:
        """Whether it is on its way back."""
        return self.status in REFRESH_ENDING


@dataclass(frozen=True)
class ReleasePointer:
    """The production parameter: the AMI, the parameter's version, and its label or description."""

    ami: str
    version: int
    modified: str = ""
    modified_by: str = ""
    note: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class CanaryGroup:
    """The group beside the fleet's own while the traffic is shifted, and the percent of the requests that it gets."""

    group: AutoScalingGroup
    weight: int = 0


@dataclass(frozen=True)
class FleetState:
    """All of it together.

    Attributes:
        history: Every version of the pointer, oldest first, the current one last.
        refreshes: The newest first.
        trial: What a shift of the traffic under way, or one that died, has launched.
    """

    template: LaunchTemplate | None = None
    group: AutoScalingGroup | None = None
    refreshes: tuple[InstanceRefresh, ...] = ()
    history: tuple[ReleasePointer, ...] = field(default=())
    canary: CanaryGroup | None = None

    @property
    def pointer(self) -> ReleasePointer | None:
        """The production parameter as it is now."""
        return self.history[-1] if self.history else None

    def was_released(self, ami: str) -> ReleasePointer | None:
        """The newest version of the pointer that is, or was before it named this AMI, another one."""
        versions = list(self.history)
        while versions and versions[-1].ami == ami:
            versions.pop()
        return versions[-1] if versions else None

    @property
    def active_refresh(self) -> InstanceRefresh | None:
        """The instance refresh that is under way."""
        return next((r for r in self.refreshes if r.is_running or r.is_ending), None)

    @property
    def source_version(self) -> LaunchTemplateVersion | None:
        """The template version that a new one is made from: what the group runs, else the default."""
        if self.template is None:
            return None
        number = self.group.number if self.group else self.template.default
        return self.template.versions.get(number or self.template.default)


# A group must not replace an instance by itself that has the only copy of its rows; nor mark one as ill that was so for a while,
# since it never takes that mark back. https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
SUSPENDED_WHILE_REPLACING = ("AZRebalance", "HealthCheck", "ReplaceUnhealthy")

# What ends an instance that is not well, or is in a zone with too many.
REPLACING_PROCESSES = ("AZRebalance", "ReplaceUnhealthy")


@dataclass(frozen=True)
class RefreshPreferences:
    """How the instance refresh goes, in the words of its API."""

    min_healthy: int
    max_healthy: int
    warmup: int
    checkpoints: tuple[int, ...] = ()
    delay: int = 0
    bake_time: int = 0
    auto_rollback: bool = True
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FleetInstance:
    """An instance of the fleet: a member of the group, or one that `deploy` launched."""

    id: str
    image: str
    state: str
    address: str
    zone: str = ""
    version: int = 0
    grouped: bool = False
    lifecycle: str = ""
    target: str = ""
    launched: str = ""
    drifted: str = ""
