"""How a new instance receives traffic: attached to the Auto Scaling group, or registered in the target group without one."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.aws import auto_scaling, load_balancers
from goldenami.database import recovery
from goldenami.database.switchover_model import Switchover
from goldenami.rollout.context import RolloutContext, get_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.text import seconds


@dataclass(frozen=True)
class GroupAttachment:
    """Traffic switch by attaching the instance to the Auto Scaling group, which registers it with the load balancer.

    Attributes:
        watch: Seconds that the new instance is monitored with traffic, beside the old one.
    """

    monitor: RolloutMonitor
    group: str
    grace: int
    watch: int

    def suspend_processes(self) -> None:
        """Keep the group from replacing the old instance while its service is stopped."""
        auto_scaling.suspend(self.monitor.ctx.aws, self.group, recovery.AUTOMATIC_PROCESSES)

    def add(self, switchover: Switchover) -> None:
        """Attach the new instance to the group."""
        recovery.attach(self.monitor.ctx, switchover)
        self.monitor.rollout.record("attached", f"{switchover.target} joined {self.group}", switchover.target)

    def is_serving(self, instance: str) -> bool:
        """Return True if the instance is in service."""
        return any(m.id == instance and m.serving for m in get_group(self.monitor.ctx, self.group).members)

    def monitor_instance(self, instance: str) -> str:
        """Monitor the new instance beside the old one; return the failure reason."""
        for _, due in self.monitor.ticks(self.watch):
            if due:
                self.monitor.poll(get_group(self.monitor.ctx, self.group))
            if reason := self.monitor.failure_reason(self.grace):
                return reason
        text = f"{instance} monitored for {seconds(self.watch)} beside the old instance"
        self.monitor.rollout.record("watched", text)
        return ""

    def save_evidence(self) -> list[str]:
        """Save the logs of the monitored instance; return their paths."""
        return self.monitor.save_evidence()


@dataclass(frozen=True)
class TargetRegistration:
    """Traffic switch by registering the instance in the target group, without an Auto Scaling group.

    Attributes:
        target_group: ARN of the target group; empty without a load balancer.
    """

    rollout: RolloutContext
    target_group: str
    grace: int

    def suspend_processes(self) -> None:
        """Do nothing: there is no group that replaces instances."""

    def add(self, switchover: Switchover) -> None:
        """Register the new instance in the target group."""
        if self.target_group:
            load_balancers.register(self.rollout.ctx.aws, self.target_group, switchover.target)

    def is_serving(self, instance: str) -> bool:
        """Return True if the instance is healthy in the target group."""
        if not self.target_group:
            return True
        targets = load_balancers.health(self.rollout.ctx.aws, self.target_group)
        return any(t.id == instance and t.state == "healthy" for t in targets)

    def monitor_instance(self, _instance: str) -> str:
        """Do nothing: the instance was monitored before it was registered."""
        return ""

    def save_evidence(self) -> list[str]:
        """Do nothing: the console output is enough."""
        return []


TrafficSwitch = GroupAttachment | TargetRegistration
