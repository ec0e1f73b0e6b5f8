"""Current state of the fleet in AWS: launch template, Auto Scaling group, instances, refreshes, release history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldenami.model.auto_scaling import InstanceRefresh, LifecycleHook, ScheduledAction

# EC2's states of an instance that does not run and will not by itself.
NOT_RUNNING = frozenset({"stopping", "stopped", "shutting-down", "terminated"})


@dataclass(frozen=True)
class LaunchTemplateVersion:
    """Numbered version of the launch template.

    Attributes:
        data: The launch template data, as EC2 describes it.
    """

    number: int
    data: Mapping[str, Any]
    description: str = ""

    @property
    def image(self) -> str:
        """Image that it launches: an AMI id, or `resolve:ssm:…`."""
        return str(self.data.get("ImageId", ""))

    @property
    def instance_type(self) -> str:
        """Instance type, or empty."""
        return str(self.data.get("InstanceType", ""))

    def root_gib(self, device: str) -> int:
        """Return the size of the root volume in GiB; 0 if the version does not set it."""
        disks = [m for m in self.data.get("BlockDeviceMappings", []) if m.get("DeviceName") == device]
        return int(disks[0].get("Ebs", {}).get("VolumeSize", 0)) if disks else 0


@dataclass(frozen=True)
class LaunchTemplate:
    """Launch template with every version, by number."""

    id: str
    name: str
    default: int
    latest: int
    versions: Mapping[int, LaunchTemplateVersion]


@dataclass(frozen=True)
class GroupInstance:
    """Instance of the Auto Scaling group.

    Attributes:
        version: The launch template version that it was launched from.
        lifecycle: Its lifecycle state: `Pending`, `InService`, `Terminating`, …
        healthy: True if the group reports it as healthy.
        target: Its state in the target group (`healthy`, `initial`, `draining`, …); empty without a target group.
        address: Its public IP address, else its private one.
        drifted: Settings that were changed in place.
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
    def is_standby(self) -> bool:
        """True if it was taken out of service for a while; the group's desired capacity does not count it."""
        return self.lifecycle in ("EnteringStandby", "Standby")

    @property
    def is_leaving(self) -> bool:
        """True if it is being terminated or detached."""
        return self.lifecycle.startswith(("Terminat", "Detach"))

    @property
    def can_be_protected(self) -> bool:
        """True in the states in which AWS lets it be protected from scale-in, or detached."""
        return self.lifecycle in ("InService", "Standby")

    @property
    def serving(self) -> bool:
        """True if it is in service and healthy, for the group and for the load balancer if there is one."""
        return self.lifecycle == "InService" and self.healthy and self.target in ("", "healthy")


@dataclass(frozen=True)
class AutoScalingGroup:
    """Auto Scaling group.

    Attributes:
        version: The launch template version that it launches: a number, `$Latest` or `$Default`.
        suspended: Its suspended scaling processes.
        mixed: True if a mixed instances policy overrides the launch template.
        warm_pool: True if it keeps a pool of initialized instances.
        protects_new: True if it protects every new instance from scale-in.
        hooks: Its lifecycle hooks; read by `describe_fleet` only, as the scheduled actions.
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
    mixed: bool = False
    warm_pool: bool = False
    protects_new: bool = False
    hooks: tuple[LifecycleHook, ...] = ()
    schedules: tuple[ScheduledAction, ...] = ()

    def keeps(self, member: GroupInstance) -> bool:
        """Return True if an instance refresh leaves a member as it is: in Standby, or protected from scale-in by itself.

        Where the group protects every new instance, protection tells nothing about this one, and it is replaced.
        """
        return member.is_standby or (member.protected and not self.protects_new)

    def hook_timeout(self, *, launching: bool) -> int:
        """Return the seconds that lifecycle hooks may hold an instance at its launch, or at its termination."""
        return max((hook.timeout for hook in self.hooks if hook.launching == launching), default=0)

    @property
    def number(self) -> int | None:
        """Launch template version as a number, or None for `$Latest` and `$Default`."""
        return int(self.version) if self.version.isdigit() else None


@dataclass(frozen=True)
class ReleasePointer:
    """Version of the production parameter: the AMI, and when, by whom and why it was published."""

    ami: str
    version: int
    modified: str = ""
    modified_by: str = ""
    note: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class CanaryGroup:
    """Canary group of a traffic shift, and the percentage of the requests that it receives."""

    group: AutoScalingGroup
    weight: int = 0


@dataclass(frozen=True)
class FleetState:
    """Current state of the fleet.

    Attributes:
        refreshes: The newest first.
        history: Every version of the production parameter, oldest first.
        canary: The canary group of a traffic shift that is in progress or was interrupted.
    """

    template: LaunchTemplate | None = None
    group: AutoScalingGroup | None = None
    refreshes: tuple[InstanceRefresh, ...] = ()
    history: tuple[ReleasePointer, ...] = field(default=())
    canary: CanaryGroup | None = None

    @property
    def pointer(self) -> ReleasePointer | None:
        """Current version of the production parameter."""
        return self.history[-1] if self.history else None

    def was_released(self, ami: str) -> ReleasePointer | None:
        """Return the newest version of the production parameter before this AMI was released, or None."""
        versions = list(self.history)
        while versions and versions[-1].ami == ami:
            versions.pop()
        return versions[-1] if versions else None

    @property
    def active_refresh(self) -> InstanceRefresh | None:
        """Unfinished instance refresh, or None."""
        return next((r for r in self.refreshes if r.is_running or r.is_ending), None)

    @property
    def source_version(self) -> LaunchTemplateVersion | None:
        """Launch template version that a new one is based on: the group's, else the default."""
        if self.template is None:
            return None
        number = self.group.number if self.group else self.template.default
        return self.template.versions.get(number or self.template.default)


# While they are active, a group could replace an instance that has the only copy of its data, or mark an instance as
# unhealthy permanently. https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
SUSPENDED_WHILE_REPLACING = ("AZRebalance", "HealthCheck", "ReplaceUnhealthy")

# The processes that replace unhealthy instances, and instances of a zone with too many.
REPLACING_PROCESSES = ("AZRebalance", "ReplaceUnhealthy")


@dataclass(frozen=True)
class FleetInstance:
    """Instance of the fleet: in the Auto Scaling group, or launched by `deploy`."""

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
