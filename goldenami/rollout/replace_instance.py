"""Replace one instance by another: launch, health check, data transfer, traffic, and only then terminate the old one.

An instance refresh terminates the old instance as soon as the new one is healthy, and transfers no data. Here each step is
saved before it is taken (the switchover), and the old instance keeps running until the new one is healthy with traffic: until
then it can take the current data back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from goldenami.aws import instances
from goldenami.database import membership, recovery, relocate, switchover_end, transfer, volume
from goldenami.database.release import ReleaseError
from goldenami.database.switchover_model import Switchover
from goldenami.database.transfer import TransferResult
from goldenami.errors import DataError, GateError, GoldenError, UnreachableError
from goldenami.infra import load_balancer, network
from goldenami.infra.health import wait_until_instance_healthy
from goldenami.rollout.context import RolloutContext, get_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.state.runs import write_text
from goldenami.text import seconds


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
        evidence: Paths of the logs of a failed instance.
        data_failed: True if the data, not the image, made the replacement fail.
    """

    rollout: RolloutContext
    switchover: Switchover
    template_id: str
    previous_version: int
    grace: int
    watch: int
    retry: str
    group: str = ""
    evidence: list[str] = field(default_factory=list)
    data_failed: bool = False

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
            transferred = self._transfer()
        except UnreachableError:  # without AWS there is neither evidence nor recovery
            raise
        except BaseException as error:
            try:
                self._save_evidence()
            finally:
                if source:  # its data is complete: the new instance is terminated
                    recovery.recover(self.ctx)
                    self.rollout.record("restored", f"{source} is in service with all data")
            self.data_failed = isinstance(error, DataError)
            if isinstance(error, GoldenError) and not isinstance(error, ReleaseError):
                return error.message
            raise
        return self._complete(transferred)

    def resume(self) -> str:
        """Continue an interrupted replacement whose target has the data: monitor it again for the whole time, as `run` does.

        Returns and raises what `run` does.
        """
        return self._complete(None)

    def _complete(self, transferred: TransferResult | None) -> str:
        """Let the new instance serve, and terminate the old one; return the failure reason."""
        source = self.switchover.source
        try:
            reason = self._serve(transferred) or switchover_end.reason_to_keep_source(self.ctx, self.switchover)
        except GoldenError as error:
            reason = error.message
        if reason:
            return self._roll_back(reason)
        self.rollout.record("shifted", f"{self.switchover.target} receives all traffic")
        if source:
            switchover_end.complete(self.ctx, self.switchover, checked=True)
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
            subnet, token = network.find_network(self.ctx).subnets[0], switchover_end.client_token(self.switchover)
            version = self.switchover.version
            instance = instances.launch_from_template(self.ctx.aws, self.template_id, version, subnet, token)
            self.switchover = self.switchover.advance("launching", instance.id)
            self.rollout.record("launched", f"{instance.id} launched from version {version}", instance.id)
        if self.switchover.source:
            transfer.save(self.ctx, self.switchover)
        target, watch = self.switchover.target, 0 if self.group else self.watch
        after = wait_until_instance_healthy(self.ctx, self.rollout.held_lock, target, grace=self.grace, watch=watch)
        self.rollout.record("healthy", f"{target} healthy after {after:.0f} s, without traffic", target)

    def _transfer(self) -> TransferResult | None:
        """Transfer data and traffic to the new instance, or attach a volume that no instance has."""
        if self.switchover.source:
            relocate.verify_target(self.ctx, self.switchover)
            if self.group:  # it must not replace the old instance while that one's service is stopped
                membership.hold(self.ctx, self.switchover, get_group(self.ctx, self.group))
            transferred = transfer.transfer(self.ctx, self.rollout.held_lock, self.switchover, self.grace)
            self.switchover = transferred.switchover
            return transferred
        if self.switchover.method == "volume":
            volume.attach_and_mount(self.ctx, self.switchover.target)
            transfer.resume_service(self.ctx, self.switchover.target)
        return None

    def _serve(self, transferred: TransferResult | None) -> str:
        """Let the new instance serve, and in a group monitor it beside the old one; return the failure reason."""
        target = self.switchover.target
        if self.group and (reason := self._join()):
            return reason
        self._open(target, transferred)
        if not self.group:
            return ""
        for _, due in self._monitor.ticks(self.watch):
            if due:
                group = get_group(self.ctx, self.group)
                membership.hold(self.ctx, self.switchover, group)  # another tool may have reset the group meanwhile
                self._monitor.poll(group)
            if reason := self._monitor.failure_reason(self.grace):
                return reason
        beside = "" if instances.is_terminated(self.ctx.aws, self.switchover.source) else " beside the old instance"
        self.rollout.record("watched", f"{target} monitored for {seconds(self.watch)}{beside}")
        return ""

    def _join(self) -> str:
        """Make the new instance a protected member of the group; return the failure reason.

        Before writes open: a group that scales in meanwhile must not terminate the only copy of a row.
        """
        membership.attach_target(self.ctx, self.switchover)
        if reason := membership.unprotected_reason(self.ctx, self.switchover, self.grace):
            return reason
        self.rollout.record("attached", f"{self.switchover.target} joined {self.group}", self.switchover.target)
        return ""

    def _open(self, instance: str, transferred: TransferResult | None) -> None:
        """Open writes and send the traffic to an instance, which ends the downtime; raise GateError if it receives none."""
        read_only = transferred and transferred.read_only
        resumed = transferred is None and self.switchover.source and self.switchover.storage_mode == "instance"
        if read_only or resumed:  # a resumed one may still be read-only
            transfer.open_writes(self.ctx, instance)
        if not read_only:
            load_balancer.register(self.ctx, instance)
            load_balancer.wait_in_service(self.ctx, instance, self.grace, self.rollout.held_lock.heartbeat)
        text = f"; {transferred.downtime.text(self.ctx.clock.monotonic())}" if transferred else ""
        self.rollout.record("canary", f"{instance} is in service{text}")

    def _roll_back(self, reason: str) -> str:
        """Transfer the current data back to the old instance, which then serves again; return the failure reason."""
        switchover = self.switchover
        self.rollout.record("failed", reason)
        self._save_evidence()
        if not switchover.source or switchover.backup:  # no instance can take the data back
            return reason
        if self._target_is_lost():  # nothing can be asked of it
            return self._fail_over(reason)
        try:
            reversal = switchover.reversed(self.previous_version)
            transferred = transfer.transfer(self.ctx, self.rollout.held_lock, reversal, self.grace)
        except GoldenError as error:
            transfer.save(self.ctx, switchover)
            if self._target_is_lost():
                return self._fail_over(reason)
            raise GateError(
                f"{reason}; and its data cannot be transferred back: {error.message}",
                state=f"{switchover.target} has all data; {switchover.source} is running with its writes stopped."
                " No data is lost.",
                next=self.retry,
            ) from None
        self._open(switchover.source, transferred)
        switchover_end.complete(self.ctx, transferred.switchover)
        self.rollout.record("restored", f"{switchover.source} is in service with all data")
        return reason

    def _target_is_lost(self) -> bool:
        """Return True if the new instance was terminated, and its data with it."""
        switchover = self.switchover
        return switchover.storage_mode == "instance" and instances.is_terminated(self.ctx.aws, switchover.target)

    def _fail_over(self, reason: str) -> str:
        """Return the service to the source, with the data from before; return the failure reason."""
        recovery.recover(self.ctx)
        text = f"{self.switchover.source} is in service with its data from before the write freeze"
        self.rollout.record("restored", text)
        return f"{reason}; {self.switchover.target} was terminated, with what was written to it"

    def _save_evidence(self) -> None:
        """Save the new instance's console output and logs before it is terminated."""
        target = self.switchover.target
        if target and not instances.is_terminated(self.ctx.aws, target):
            path = self.rollout.run.folder / "console.log"
            write_text(path, instances.console_output(self.ctx.aws, target))
            self.evidence = [*self._monitor.save_evidence(), str(path)]
