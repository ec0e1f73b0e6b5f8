"""Roll the fleet to a template version, watching; and back, when the gate is red."""

from __future__ import annotations

import math
from dataclasses import dataclass

from goldenami.aws import auto_scaling, instance_refreshes
from goldenami.context import Context
from goldenami.errors import AwsError, BusyError
from goldenami.model.fleet import AutoScalingGroup, InstanceRefresh, RefreshPreferences
from goldenami.rollout import monitor
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.plan import canary_count, min_healthy_time
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state.lock import HeldLock
from goldenami.text import seconds

_CANCEL_TIMEOUT = 1800.0  # seconds beyond what a roll should take


@dataclass
class InstanceRefreshRollout:
    """A roll under way.

    Attributes:
        group: Its name.
        template: The launch template's id.
        old: The version that the group launches, and goes back to; None when it is the new one already.
        new: The version that it is brought to.
        wanted: How.
    """

    ctx: Context
    held_lock: HeldLock
    monitor: RolloutMonitor
    timeline: Timeline
    group: str
    template: str
    old: int | None
    new: int
    preferences: RefreshPreferences
    refresh: str = ""

    def run(self) -> str:
        """Renew the instances and watch them.

        Returns:
            Why to turn back; empty when the whole fleet runs the new version and serves.
        """
        self.refresh = self.refresh or self._start()
        ctx, began = self.ctx, self.ctx.clock.monotonic()
        looked = -math.inf
        baked: float | None = None
        told = ""
        while True:
            now = ctx.clock.monotonic()
            if self.monitor.should_poll(now - looked, now - began):
                looked = now
                self.held_lock.heartbeat()
                refresh = instance_refreshes.get(ctx.aws, self.group, self.refresh)
                group = self._group()
                self.monitor.poll(group)
                self._events(refresh, group)
                line = self._progress_line(refresh, group, now - began)
                if line != told:
                    told = line
                    ctx.progress.detail(f"{line}, {seconds(now - began)}")
                if refresh.status in ("Failed", "Cancelled", "Cancelling") or refresh.status.startswith("Rollback"):
                    return self.monitor.failure_reason(group.grace, min_healthy_time(self.preferences)) or (
                        f"the instance refresh is {refresh.status}: {refresh.reason or 'AWS does not say why'}"
                    )
                if refresh.status == "Successful" and wait_until_ended(group, self.new):
                    baked = now if baked is None else baked
            else:
                self.monitor.probe()
            if reason := self.monitor.failure_reason(group.grace, min_healthy_time(self.preferences)):
                return reason
            if baked is not None and (self.timeline.first("baking") or now - baked >= self.preferences.bake_time):
                return ""
            if now - began > self._limit(group):
                return f"the instance refresh does not come to its end ({refresh.status}, {refresh.percent} %)"
            ctx.clock.sleep(self.monitor.poll_interval(now - began))

    def roll_back(self) -> None:
        """Tell AWS to turn back; it may have done so by itself."""
        instance_refreshes.roll_back(self.ctx.aws, self.group)

    def _start(self) -> str:
        started = instance_refreshes.start(self.ctx.aws, self.group, self.template, self.new, self.preferences)
        if started is None:
            raise BusyError(
                "another instance refresh has begun in these very moments",
                state="This one has not changed the fleet.",
                next="./invoke status",
            )
        self._record("started", f"instance refresh {started} to version {self.new} began", started)
        return started

    def _group(self) -> AutoScalingGroup:
        found = auto_scaling.get(self.ctx.aws, self.group)
        if found is None:
            raise AwsError(f"{self.group} is gone", state="Nobody is served.", next="./invoke fleet.create")
        return found

    def _limit(self, group: AutoScalingGroup) -> float:
        rounds = max(2, group.desired)
        return (
            _CANCEL_TIMEOUT
            + rounds * (group.grace + self.preferences.warmup)
            + 2 * self.preferences.delay
            + self.preferences.bake_time
        )

    def _events(self, refresh: InstanceRefresh, group: AutoScalingGroup) -> None:
        """Note the milestones of the checklist once they are reached."""
        green = self.monitor.healthy_count
        part = canary_count(group.desired, self.preferences)
        if green >= min(part, max(1, group.desired)) and not self.timeline.first("canary"):
            self._record(
                "canary", f"{green} new instance(s) beside {len(self._other_instances(group))} old one(s) take traffic"
            )
        canary = self.timeline.first("canary")
        held = (
            self.preferences.delay
            if self.preferences.checkpoints
            else max(self.preferences.warmup, self.preferences.bake_time)
        )
        first = min((r.is_healthy for r in self.monitor.instances.values() if r.is_healthy is not None), default=None)
        now = self.ctx.clock.monotonic()
        if canary and first is not None and now - first >= held and not self.timeline.first("watched"):
            self._record("watched", self._monitor_until_ended(now - first))
        if refresh.status == "Baking" and not self.timeline.first("baking"):
            self._record("baking", f"all renewed; watched for {self.preferences.bake_time} s more")
        if not self._other_instances(group, serving=True) and green and not self.timeline.first("shifted"):
            self._record("shifted", f"all {green} serving instance(s) run version {self.new}")
        if wait_until_ended(group, self.new) and not self.timeline.first("terminated"):
            if not self.timeline.first("watched") and first is not None:
                self._record("watched", self._monitor_until_ended(now - first))
            self._record("terminated", "no old instance is left in the group")

    def _monitor_until_ended(self, time: float) -> str:
        good = sum(r.good for r in self.monitor.instances.values())
        errors = [r.last.errors for r in self.monitor.instances.values() if r.last.errors is not None]
        journal = f"{sum(errors)} error(s) in the service's journal, no restart" if errors else "journal not reachable"
        return f"{seconds(time)}: {good} good probes, {journal}"

    def _other_instances(self, group: AutoScalingGroup, *, serving: bool = False) -> list[str]:
        return [m.id for m in group.members if m.version != self.new and (m.serving or not serving)]

    def _progress_line(self, refresh: InstanceRefresh, group: AutoScalingGroup, _elapsed: float) -> str:
        new = [m for m in group.members if m.version == self.new]
        well = sum(m.serving for m in new)
        return (
            f"{refresh.status} {refresh.percent} %: {well} of {len(new)} new and {len(group.members) - len(new)} old"
            f" instance(s) serve"
        )

    def _record(self, kind: str, text: str, subject: str = "") -> None:
        self.timeline.add(Event(self.ctx.clock.now().isoformat(timespec="seconds"), kind, text, subject))
        self.ctx.progress.info(text)


def wait_until_ended(group: AutoScalingGroup, version: int) -> bool:
    """Whether the group launches this version, has all its instances of it, and each serves."""
    staying = [m for m in group.members if not m.lifecycle.startswith("Terminat")]
    return (
        group.number == version
        and len(staying) == len(group.members)
        and sum(m.serving for m in staying) >= group.desired
        and all(m.version == version for m in staying)
    )


def restore_group(ctx: Context, held_lock: HeldLock, name: str, template: str, version: int) -> None:
    """See to it that the group is back on a version and serves, whatever state it is in; safe to repeat.

    Raises:
        AwsError: It is not, long after it should be.
    """
    told, refused = "", 0
    began = ctx.clock.monotonic()
    wanted = RefreshPreferences(100, 200, ctx.recipe.fleet.instance_warmup, auto_rollback=False)
    while ctx.clock.monotonic() - began < _CANCEL_TIMEOUT:
        held_lock.heartbeat()
        active = next(
            (r for r in instance_refreshes.list_refreshes(ctx.aws, name) if r.is_running or r.is_ending), None
        )
        group = auto_scaling.get(ctx.aws, name)
        if group is None:
            raise AwsError(f"{name} is gone", state="Nobody is served.", next="./invoke fleet.create")
        if active is None and wait_until_ended(group, version):
            return
        line = f"{active.status} {active.percent} %" if active else "waiting for the instances"
        line += f": {sum(m.serving for m in group.members)} of {group.desired} serve"
        if line != told:
            told = line
            ctx.progress.detail(f"going back to version {version}: {line}")
        if active is not None and active.is_running and active.version != version:
            if instance_refreshes.roll_back(ctx.aws, name) is None:
                refused += 1
                if refused > 1:  # it is not one that AWS can take back: stop it and go back by a refresh of our own
                    instance_refreshes.cancel(ctx.aws, name)
        elif active is None and (group.number != version or _other_versions(group, version)):
            instance_refreshes.start(ctx.aws, name, template, version, wanted)
        ctx.clock.sleep(monitor.POLL_INTERVAL)
    raise AwsError(
        f"{name} is not back on version {version} after {_CANCEL_TIMEOUT:.0f} s ({told})",
        state="The production parameter and the template's default version are untouched.",
        next="./invoke status; ./invoke rollback goes on",
    )


def _other_versions(group: AutoScalingGroup, version: int) -> bool:
    return any(m.version != version and not m.lifecycle.startswith("Terminat") for m in group.members)
