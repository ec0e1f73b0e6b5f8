"""Replace one instance by another: launch, health check, data transfer, traffic, and only then terminate the old one.

An instance refresh terminates the old instance as soon as the new one is healthy, and transfers no data. Here each step is
saved before it is taken (the switchover), and the old instance keeps running until the new one is healthy with traffic: until
then it can take the current data back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from goldenami.aws import instances
from goldenami.database import recovery, relocate, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError, GoldenError
from goldenami.infra import network
from goldenami.infra.health import wait_until_instance_healthy
from goldenami.rollout.context import RolloutContext
from goldenami.rollout.traffic_switch import TrafficSwitch
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
        watch: Seconds that the new instance is monitored before it receives traffic.
        retry: The command that resumes after a failed rollback.
        evidence: Paths of the logs of a failed instance.
    """

    rollout: RolloutContext
    traffic: TrafficSwitch
    switchover: Switchover
    template_id: str
    previous_version: int
    retry: str
    watch: int = 0
    evidence: list[str] = field(default_factory=list)
    _frozen_since: float = 0.0

    def run(self) -> str:
        """Replace the instance.

        Returns:
            The failure reason; empty if the new instance receives the traffic. After a failure the source has all data and is
            in service, and the new instance is terminated; without a source the new instance is left to the caller.

        Raises:
            GateError: The new instance failed with traffic, and transferring the data back failed, too.
        """
        ctx, record, source = self.rollout.ctx, self.rollout.record, self.switchover.source
        if source:
            transfer.save(ctx, self.switchover)
            record("started", f"replacing {source}, with its data")
        try:
            self._launch()
            self._transfer()
        except BaseException as error:
            try:
                self._save_evidence()
            finally:
                if source:  # its data is complete: the new instance is terminated
                    recovery.recover(ctx)
                    record("restored", f"{source} is in service with all data")
            if isinstance(error, GoldenError):
                return error.message
            raise
        try:
            self.traffic.add(self.switchover)
            target = self.switchover.target
            reason = self._wait_for_traffic(target) or self.traffic.monitor_instance(target)
        except GoldenError as error:
            reason = error.message
        if reason:
            return self._roll_back(reason)
        record("shifted", f"{target} receives all traffic")
        if source:
            recovery.complete(ctx, self.switchover)
            if self.switchover.method == "volume":
                volume.delete_expired_snapshots(ctx)
            record("terminated", f"{source} terminated")
        return ""

    def _launch(self) -> None:
        """Launch the new instance and wait until it is healthy, before any data is transferred."""
        ctx = self.rollout.ctx
        if self.switchover.target:
            self.rollout.record("launched", f"continuing with {self.switchover.target}, which runs this image")
        else:
            relocate.prepare(ctx, self.switchover)
            subnet, token = network.find_network(ctx).subnets[0], recovery.token(self.switchover)
            version = self.switchover.version
            instance = instances.launch_from_template(ctx.aws, self.template_id, version, subnet, token)
            self.switchover = self.switchover.advance("launching", instance.id)
            self.rollout.record("launched", f"{instance.id} launched from version {version}", instance.id)
        if self.switchover.source:
            transfer.save(ctx, self.switchover)
        target = self.switchover.target
        after = wait_until_instance_healthy(
            ctx, self.rollout.held_lock, target, grace=self.traffic.grace, watch=self.watch
        )
        self.rollout.record("healthy", f"{target} healthy after {after:.0f} s, without traffic", target)

    def _transfer(self) -> None:
        """Transfer the data to the new instance, or attach a volume that no instance has."""
        ctx = self.rollout.ctx
        if self.switchover.source:
            relocate.verify_target(ctx, self.switchover)
            self.traffic.suspend_processes()
            result = transfer.transfer(ctx, self.rollout.held_lock, self.switchover)
            self.switchover, self._frozen_since = result.switchover, result.frozen_since
        elif self.switchover.method == "volume":
            volume.attach_and_mount(ctx, self.switchover.target)
            transfer.resume_service(ctx, self.switchover.target)

    def _wait_for_traffic(self, instance: str) -> str:
        """Wait until the load balancer sends requests to an instance, which ends the write downtime; or return why not."""
        ctx = self.rollout.ctx
        for _ in poll(ctx.clock, timeout=self.traffic.grace, every=0.5):
            if self.traffic.is_serving(instance):
                downtime = seconds(ctx.clock.monotonic() - self._frozen_since)
                text = f"; write downtime {downtime}" if self.switchover.source else ""
                self.rollout.record("canary", f"{instance} is in service{text}")
                return ""
            self.rollout.held_lock.heartbeat()
        return f"{instance} does not receive traffic after {self.traffic.grace} s"

    def _roll_back(self, reason: str) -> str:
        """Transfer the current data back to the old instance, which then serves again; return the failure reason."""
        ctx, switchover = self.rollout.ctx, self.switchover
        self.rollout.record("failed", reason)
        self._save_evidence()
        if not switchover.source:
            return reason
        try:
            result = transfer.transfer(ctx, self.rollout.held_lock, switchover.reversed(self.previous_version))
        except GoldenError as error:
            transfer.save(ctx, switchover)
            if switchover.storage_mode == "instance" and instances.gone(ctx.aws, switchover.target):
                recovery.recover(ctx)
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
        recovery.complete(ctx, result.switchover)
        self.rollout.record("restored", f"{switchover.source} is in service with all data")
        return reason

    def _save_evidence(self) -> None:
        """Save the new instance's console output and logs before it is terminated."""
        ctx, target = self.rollout.ctx, self.switchover.target
        if target and not instances.gone(ctx.aws, target):
            path = self.rollout.run.folder / "console.log"
            write_text(path, instances.console(ctx.aws, target))
            self.evidence = [*self.traffic.save_evidence(), str(path)]
