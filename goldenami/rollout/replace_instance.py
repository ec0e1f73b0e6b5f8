"""Replace one instance by another: launch, health check, data transfer, traffic, and only then terminate the old one.

An instance refresh terminates the old instance as soon as the new one is healthy, and transfers no data. Here each step is
saved before it is taken (the switchover), and the old instance keeps running until the new one is healthy with traffic: until
then it can take the current data back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from goldenami.aws import auto_scaling, instances, load_balancers
from goldenami.database import recovery, relocate, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError, GoldenError, UnreachableError
from goldenami.infra import network
from goldenami.infra.health import wait_until_instance_healthy
from goldenami.rollout.context import RolloutContext, get_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.state.runs import write_text
from goldenami.text import seconds
from goldenami.tools.clock import poll


@dataclass
class InstanceReplacement:
    """A replacement in progress.

    Attributes:
        switchover: Its record; without a source there is no data to transfer, with a target that instance is used.
        template_id: The launch template's id.
        previous_version: The launch template version of the old instance.
        grace: Seconds that the new instance has to become healthy, and then to receive traffic.
        watch: Seconds that it is monitored: with traffic if there is a group, else before it receives any.
        retry: The command that resumes after a failed rollback.
        group: Name of the Auto Scaling group that the new instance is attached to; empty without one.
        target_group: ARN of the target group that it is registered in if there is no group; empty without a load balancer.
        evidence: Paths of the logs of a failed instance.
    """

    rollout: RolloutContext
    switchover: Switchover
    template_id: str
    previous_version: int
    grace: int
    watch: int
    retry: str
    group: str = ""
    target_group: str = ""
    evidence: list[str] = field(default_factory=list)
    _frozen_since: float = 0.0

    def __post_init__(self) -> None:
        self.ctx, self._monitor = (
            self.rollout.ctx,
            RolloutMonitor(self.rollout, self.switchover.version, replaced=self.switchover.source),
        )

    def run(self) -> str:
        """Replace the instance.

        Returns:
            The failure reason; empty if the new instance receives the traffic. After a failure the source has all data and is
            in service, and the new instance is terminated; without a source the new instance is left to the caller.

        Raises:
            GateError: The new instance failed with traffic, and transferring the data back failed, too.
        """
        source = self.switchover.source
        if source:
            transfer.save(self.ctx, self.switchover)
            self.rollout.record("started", f"replacing {source}, with its data")
        try:
            self._launch()
            self._transfer()
        except UnreachableError:  # without AWS there is neither evidence nor recovery
            raise
        except BaseException as error:
            try:
                self._save_evidence()
            finally:
                if source:  # its data is complete: the new instance is terminated
                    recovery.recover(self.ctx)
                    self.rollout.record("restored", f"{source} is in service with all data")
            if isinstance(error, GoldenError):
                return error.message
            raise
        return self.resume()

    def resume(self) -> str:
        """Switch the traffic and monitor the target, which has the data; from here an interrupted replacement is resumed.

        Returns and raises what `run` does.
        """
        source = self.switchover.source
        try:
            reason = self._switch_traffic()
        except GoldenError as error:
            reason = error.message
        if reason:
            return self._roll_back(reason)
        self.rollout.record("shifted", f"{self.switchover.target} receives all traffic")
        if source:
            recovery.complete(self.ctx, self.switchover)
            if self.switchover.method == "volume":
                volume.delete_expired_snapshots(self.ctx)
            self.rollout.record("terminated", f"{source} terminated")
        return ""

    def _launch(self) -> None:
        """Launch the new instance and wait until it is healthy, before any data is transferred."""
        if self.switchover.target:
            self.rollout.record("launched", f"continuing with {self.switchover.target}, which runs this image")
        else:
            relocate.prepare(self.ctx, self.switchover)
            subnet, token = network.find_network(self.ctx).subnets[0], recovery.client_token(self.switchover)
            version = self.switchover.version
            instance = instances.launch_from_template(self.ctx.aws, self.template_id, version, subnet, token)
            self.switchover = self.switchover.advance("launching", instance.id)
            self.rollout.record("launched", f"{instance.id} launched from version {version}", instance.id)
        if self.switchover.source:
            transfer.save(self.ctx, self.switchover)
        target, watch = self.switchover.target, 0 if self.group else self.watch
        after = wait_until_instance_healthy(self.ctx, self.rollout.held_lock, target, grace=self.grace, watch=watch)
        self.rollout.record("healthy", f"{target} healthy after {after:.0f} s, without traffic", target)

    def _transfer(self) -> None:
        """Transfer the data to the new instance, or attach a volume that no instance has."""
        if self.switchover.source:
            relocate.verify_target(self.ctx, self.switchover)
            if self.group:  # it must not replace the old instance while that one's service is stopped
                auto_scaling.suspend(self.ctx.aws, self.group, recovery.AUTOMATIC_PROCESSES)
            result = transfer.transfer(self.ctx, self.rollout.held_lock, self.switchover)
            self.switchover, self._frozen_since = result.switchover, result.frozen_since
        elif self.switchover.method == "volume":
            volume.attach_and_mount(self.ctx, self.switchover.target)
            transfer.resume_service(self.ctx, self.switchover.target)

    def _switch_traffic(self) -> str:
        """Send the traffic to the new instance, and in a group monitor it beside the old one; return the failure reason."""
        target = self.switchover.target
        if not self.group:
            if self.target_group:
                load_balancers.register(self.ctx.aws, self.target_group, target)
            return self._wait_for_traffic(target)
        recovery.attach_target(self.ctx, self.switchover)
        self.rollout.record("attached", f"{target} joined {self.group}", target)
        if reason := self._wait_for_traffic(target):
            return reason
        for _, due in self._monitor.ticks(self.watch):
            if due:
                self._monitor.poll(get_group(self.ctx, self.group))
            if reason := self._monitor.failure_reason(self.grace):
                return reason
        self.rollout.record("watched", f"{target} monitored for {seconds(self.watch)} beside the old instance")
        return ""

    def _wait_for_traffic(self, instance: str) -> str:
        """Wait until the load balancer sends requests to an instance, which ends the write downtime; or return why not."""
        for _ in poll(self.ctx.clock, timeout=self.grace, every=0.5):
            if self._is_serving(instance):
                downtime = seconds(self.ctx.clock.monotonic() - self._frozen_since)
                text = f"; write downtime {downtime}" if self.switchover.source else ""
                self.rollout.record("canary", f"{instance} is in service{text}")
                return ""
            self.rollout.held_lock.heartbeat()
        return f"{instance} does not receive traffic after {self.grace} s"

    def _is_serving(self, instance: str) -> bool:
        if self.group:
            return any(m.id == instance and m.serving for m in get_group(self.ctx, self.group).members)
        targets = load_balancers.list_targets(self.ctx.aws, self.target_group) if self.target_group else []
        return not self.target_group or any(t.id == instance and t.state == "healthy" for t in targets)

    def _roll_back(self, reason: str) -> str:
        """Transfer the current data back to the old instance, which then serves again; return the failure reason."""
        switchover = self.switchover
        self.rollout.record("failed", reason)
        self._save_evidence()
        if not switchover.source or switchover.backup:  # no instance can take the data back
            return reason
        try:
            result = transfer.transfer(self.ctx, self.rollout.held_lock, switchover.reversed(self.previous_version))
        except GoldenError as error:
            transfer.save(self.ctx, switchover)
            if switchover.storage_mode == "instance" and instances.is_terminated(self.ctx.aws, switchover.target):
                recovery.recover(self.ctx)
                text = f"{switchover.source} is in service with its data from before the write freeze"
                self.rollout.record("restored", text)
                return f"{reason}; {switchover.target} was terminated, with what was written to it"
            raise GateError(
                f"{reason}; and its data cannot be transferred back: {error.message}",
                state=f"{switchover.target} has all data; {switchover.source} is running with its writes stopped."
                " No data is lost.",
                next=self.retry,
            ) from None
        self._frozen_since = result.frozen_since
        self._wait_for_traffic(switchover.source)
        recovery.complete(self.ctx, result.switchover)
        self.rollout.record("restored", f"{switchover.source} is in service with all data")
        return reason

    def _save_evidence(self) -> None:
        """Save the new instance's console output and logs before it is terminated."""
        target = self.switchover.target
        if target and not instances.is_terminated(self.ctx.aws, target):
            path = self.rollout.run.folder / "console.log"
            write_text(path, instances.console_output(self.ctx.aws, target))
            self.evidence = [*self._monitor.save_evidence(), str(path)]
