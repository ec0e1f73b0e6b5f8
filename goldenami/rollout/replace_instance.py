"""Replace the one instance of a group that keeps its data itself: the new one gets the rows before it gets the traffic.

An instance refresh ends the old instance when the new one is healthy, and knows nothing of rows. So the group's own doings
are suspended for the while, and each step is ours: launch, prove, carry the rows, attach, watch; then the old one goes. As
long as it is not certain that the new one is well, the old one stands there and can take today's rows back.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.aws import auto_scaling, instances
from goldenami.context import Context
from goldenami.database import recovery, relocate, transfer, volume
from goldenami.database.switchover_model import StorageChange, Switchover
from goldenami.errors import AwsError, GateError, GoldenError
from goldenami.infra import network
from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.model.resources import Instance
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state.lock import HeldLock
from goldenami.text import seconds
from goldenami.tools import http
from goldenami.tools.clock import poll

_CONSECUTIVE_HEALTHY = 3  # healthy answers in a row: one can be luck


@dataclass
class InstanceReplacement:
    """A replacement under way."""

    ctx: Context
    held_lock: HeldLock
    monitor: RolloutMonitor
    timeline: Timeline
    group: AutoScalingGroup
    version: int
    seconds: float
    storage_change: StorageChange | None = None

    def run(self) -> str:
        """Bring the new instance to serve with the rows of the old one.

        Returns:
            Why it was turned back; empty when the new instance serves alone.
        """
        old = self._source()
        if old is None:  # an empty group holds nothing that could be lost
            recovery.pin_launch_version(self.ctx, self.group, self.version, self.group.max)
            return ""
        switchover = Switchover(
            self.monitor.run.id,
            old.id,
            version=self.version,
            max_size=self.group.max,
            suspended=self.group.suspended,
            method="backup" if self.storage_change else transfer.transfer_method(self.ctx),
            storage_change=self.storage_change,
            source_had_volume=self.storage_change is not None or transfer.source_has_data(self.ctx, old.id),
        )
        transfer.save(self.ctx, switchover)
        self._record("started", f"{old.id} is to be replaced, its rows carried over")
        try:
            relocate.prepare(self.ctx, switchover)
            new = self._launch(switchover)
            switchover = transfer.save(self.ctx, switchover.advance("launching", new.id))
            self._wait_until_healthy(new)
            relocate.verify_target(self.ctx, switchover)
            # Its service is about to be stopped, which is no reason for the group to replace the old instance.
            auto_scaling.suspend(self.ctx.aws, self.group.name, recovery.AUTOMATIC_PROCESSES)
            carried = transfer.transfer(self.ctx, self.held_lock, switchover)
        except BaseException as error:
            self.monitor.keep_evidence()
            recovery.recover(self.ctx)
            self._record("restored", f"{old.id} serves as before, with all its rows")
            if isinstance(error, GoldenError):
                return error.message
            raise
        try:
            recovery.attach_target(self.ctx, carried.switchover)
            self._record("attached", f"{new.id} joined {self.group.name}", new.id)
            reason = self._switch_traffic(new.id, carried.frozen_since) or self._monitor(new.id)
        except GoldenError as error:
            reason = error.message
        if reason:
            return self._roll_back(carried.switchover, reason)
        self._record("shifted", f"{new.id} serves alone, with every row")
        recovery.complete(self.ctx, carried.switchover)
        if carried.switchover.method == "volume":
            volume.delete_expired_snapshots(self.ctx)
        self._record("terminated", "no old instance is left in the group")
        return ""

    def _source(self) -> GroupInstance | None:
        there = [m for m in self.group.members if not m.lifecycle.startswith(("Terminat", "Detach"))]
        if len(there) > 1:
            told = ", ".join(m.id for m in there)
            raise GateError(f"{self.group.name} has {len(there)} instances, each with rows of its own: {told}")
        return there[0] if there else None

    def _launch(self, switchover: Switchover) -> Instance:
        subnet = network.find_network(self.ctx).subnets[0]
        new = instances.launch_from_template(
            self.ctx.aws, self.group.template_id, self.version, subnet, recovery.client_token(switchover)
        )
        self._record("launched", f"{new.id} launched in {new.zone}, outside the group", new.id)
        return new

    def _wait_until_healthy(self, new: Instance) -> None:
        """Wait until it is well with an empty database of its own: an image that is bad ends here, at no cost to anybody.

        Raises:
            GateError: It is not, within the grace period.
        """
        ctx, app, grace = self.ctx, self.ctx.recipe.app, self.group.grace
        new = instances.wait_running(ctx.aws, ctx.clock, new.id)
        url = f"http://{new.address}:{app.port}{app.health}"
        green, seen = 0, http.Probe(False, "no answer")
        for elapsed in poll(ctx.clock, timeout=grace, every=1):
            self.held_lock.heartbeat()
            seen = http.probe(url, timeout=3)
            green = green + 1 if seen.ok else 0
            if green >= _CONSECUTIVE_HEALTHY:
                self._record("healthy", f"{new.id} healthy after {elapsed:.0f} s, with an empty database", new.id)
                return
        raise GateError(f"{new.id} is not healthy after {grace} s ({seen.detail})")

    def _switch_traffic(self, instance: str, began: float) -> str:
        """Wait until the balancer sends requests to it, which ends the window in which nobody could write."""
        ctx = self.ctx
        for _ in poll(ctx.clock, timeout=self.group.grace, every=0.5):
            member = self._member(instance)
            if member is not None and member.serving:
                self._record(
                    "canary", f"nobody could write for {seconds(ctx.clock.monotonic() - began)}; now {instance} serves"
                )
                return ""
            self.held_lock.heartbeat()
        return f"{instance} does not take traffic within {self.group.grace} s"

    def _monitor(self, instance: str) -> str:
        """Watch it while the old one still stands there."""
        ctx, began = self.ctx, self.ctx.clock.monotonic()
        while True:
            now = ctx.clock.monotonic()
            self.held_lock.heartbeat()
            found = auto_scaling.get(ctx.aws, self.group.name)
            if found is None:
                raise AwsError(f"{self.group.name} is gone", state="Nobody is served.", next="./invoke fleet.create")
            self.monitor.poll(found)
            if reason := self.monitor.failure_reason(self.group.grace, float("inf")):
                return reason
            if now - began >= self.seconds:
                break
            for _ in range(3):
                ctx.clock.sleep(1)
                self.monitor.probe()
        self._record("watched", f"{instance} watched for {seconds(self.seconds)} beside the old instance")
        return ""

    def _roll_back(self, switchover: Switchover, reason: str) -> str:
        """Carry today's rows back to the instance that served before, and let it serve again."""
        self._record("red", reason)
        self.monitor.keep_evidence()
        before = self.group.number or switchover.version
        try:
            carried = transfer.transfer(self.ctx, self.held_lock, switchover.reversed(before))
        except GoldenError as error:
            transfer.save(self.ctx, switchover)
            if switchover.storage_mode == "instance" and instances.is_terminated(self.ctx.aws, switchover.target):
                recovery.recover(self.ctx)
                self._record(
                    "restored", f"{switchover.source} serves again, with what it had when its writes were stopped"
                )
                return f"{reason}; {switchover.target} has ended with what was written on it meanwhile"
            raise GateError(
                f"{reason}; and its rows cannot be carried back: {error.message}",
                state=f"{switchover.target} has every row; {switchover.source} stands beside it with its writes stopped."
                " Nothing is lost.",
                next=f"./invoke db.migrate --to {self.storage_change.mode} goes on"
                if self.storage_change
                else "./invoke rollback tries again",
            ) from None
        self._switch_traffic(switchover.source, carried.frozen_since)
        recovery.complete(self.ctx, carried.switchover)
        self._record("restored", f"{switchover.source} serves again, with every row that was written meanwhile")
        return reason

    def _member(self, instance: str) -> GroupInstance | None:
        found = auto_scaling.get(self.ctx.aws, self.group.name)
        return next((m for m in found.members if m.id == instance), None) if found else None

    def _record(self, kind: str, text: str, subject: str = "") -> None:
        self.timeline.add(Event(self.ctx.clock.now().isoformat(timespec="seconds"), kind, text, subject))
        self.ctx.progress.info(text)
