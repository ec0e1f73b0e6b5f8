"""Bring an Auto Scaling group to a launch template version by an instance refresh, and back if the health gate fails."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from goldenami.aws import instance_refreshes
from goldenami.context import Context
from goldenami.errors import AwsError, BusyError
from goldenami.model.auto_scaling import InstanceRefresh, RefreshPreferences
from goldenami.model.fleet import AutoScalingGroup
from goldenami.rollout import monitor, plan as rollout_plan
from goldenami.rollout.context import get_group
from goldenami.rollout.group_plan import describe_kept
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.state.lock import HeldLock
from goldenami.text import seconds

_TIMEOUT = 1800.0  # seconds beyond the estimated duration


@dataclass
class InstanceRefreshRollout:
    """An instance refresh in progress.

    Attributes:
        group: The group as it was before.
        template_id: The launch template's id.
        version: The launch template version to bring the group to.
        preferences: The refresh's preferences.
        refresh_id: Id of a running refresh to adopt; empty to start one.
    """

    monitor: RolloutMonitor
    group: AutoScalingGroup
    template_id: str
    version: int
    preferences: RefreshPreferences
    refresh_id: str = ""
    _kept: set[str] = field(default_factory=set)  # ids of instances that the refresh leaves as they are

    def run(self) -> str:
        """Start or adopt the refresh and monitor it until it is complete.

        Returns:
            The failure reason; empty if the whole group runs the new version and is in service.
        """
        rollout, ctx = self.monitor.rollout, self.monitor.ctx
        self.refresh_id = self.refresh_id or self._start()
        min_time = rollout_plan.min_healthy_time(self.preferences)
        completed: float | None = None
        status = ""
        for elapsed, due in self.monitor.ticks(self._timeout):
            if due:
                refresh = instance_refreshes.get(ctx.aws, self.group.name, self.refresh_id)
                group = get_group(ctx, self.group.name)
                self._kept |= {m.id for m in group.members if group.keeps(m)}
                self.monitor.poll(group)
                self._record_milestones(refresh, group)
                last_status, status = status, self._status(refresh, group)
                if status != last_status:
                    ctx.progress.detail(f"{status}, {seconds(elapsed)}")
                if refresh.status in ("Failed", "Cancelled", "Cancelling") or refresh.status.startswith("Rollback"):
                    return self.monitor.failure_reason(group.grace, min_time) or (
                        f"the instance refresh is {refresh.status}: {refresh.reason or 'AWS gives no reason'}"
                    )
                complete = refresh.status == "Successful" and is_complete(group, self.version, self._kept)
                # The load balancer checks the health path alone: an instance may fail our own probe and still be in service.
                if completed is None and complete and self.monitor.all_healthy:
                    completed = elapsed
            if reason := self.monitor.failure_reason(group.grace, min_time):
                return reason
            # Where AWS supports no bake time, the group is monitored that long here.
            baked = rollout.timeline.first("baking") is not None
            if completed is not None and (baked or elapsed - completed >= self.preferences.bake_time):
                if kept := [m for m in group.members if m.version != self.version and not m.is_leaving]:
                    rollout.record("kept", f"{describe_kept(kept)}; replaced by the next promotion after that ends")
                return ""
        return f"the instance refresh did not finish in time ({status})"

    def _start(self) -> str:
        started = instance_refreshes.start(
            self.monitor.ctx.aws, self.group.name, self.template_id, self.version, self.preferences
        )
        if started is None:
            raise BusyError(
                f"cannot start an instance refresh of {self.group.name}: another one has started at the same time",
                state="This promotion has not changed the fleet.",
                next="./invoke status",
            )
        self.monitor.rollout.record("started", f"instance refresh {started} to version {self.version} began", started)
        return started

    @property
    def _timeout(self) -> float:
        preferences, rounds = self.preferences, max(2, self.group.desired)
        per_round = self.group.grace + preferences.warmup
        per_round += self.group.hook_timeout(launching=True) + self.group.hook_timeout(launching=False)
        return _TIMEOUT + rounds * per_round + 2 * preferences.delay + preferences.bake_time

    def _record_milestones(self, refresh: InstanceRefresh, group: AutoScalingGroup) -> None:
        """Record the milestones of the checklist that have been reached."""
        first, record, preferences = self.monitor.rollout.timeline.first, self.monitor.rollout.record, self.preferences
        healthy = self.monitor.healthy_count
        old = [m for m in group.members if m.version != self.version]
        if not first("canary") and healthy >= min(
            rollout_plan.canary_count(group.desired, preferences), max(1, group.desired)
        ):
            record("canary", f"{healthy} new instance(s) beside {len(old)} old one(s) receive traffic")
        since = min(
            (h.healthy_since for h in self.monitor.health.values() if h.healthy_since is not None), default=None
        )
        watched = 0.0 if since is None else self.monitor.ctx.clock.monotonic() - since
        watch = preferences.delay if preferences.checkpoints else max(preferences.warmup, preferences.bake_time)
        complete = is_complete(group, self.version, self._kept)
        if since is not None and not first("watched") and (complete or (first("canary") and watched >= watch)):
            record("watched", self._watch_summary(watched))
        if refresh.status == "Baking" and not first("baking"):
            record("baking", f"all instances replaced; monitored for {preferences.bake_time} s more")
        if healthy and not first("shifted") and not any(m.serving and m.id not in self._kept for m in old):
            record("shifted", f"all {healthy} instance(s) in service run version {self.version}")
        if complete and not first("terminated"):
            left = f", but those kept: {', '.join(m.id for m in old)}" if old else ""
            record("terminated", f"no old instance is left in the group{left}")

    def _watch_summary(self, watched: float) -> str:
        health = self.monitor.health.values()
        errors = [h.last.errors for h in health if h.last.errors is not None]
        journal = f"{sum(errors)} error(s) in the service's journal, no restart" if errors else "journal not reachable"
        return f"{seconds(watched)}: {sum(h.successes for h in health)} successful probes, {journal}"

    def _status(self, refresh: InstanceRefresh, group: AutoScalingGroup) -> str:
        new = [m for m in group.members if m.version == self.version]
        return (
            f"{refresh.status} {refresh.percent} %: {sum(m.serving for m in new)} of {len(new)} new instance(s) in service,"
            f" {len(group.members) - len(new)} old instance(s)"
        )


def is_complete(group: AutoScalingGroup, version: int, kept: Collection[str] = ()) -> bool:
    """Return True if the group launches this version, and all its instances run it and are in service.

    An instance that a lifecycle hook holds before its termination has left already: the hook may last for hours.

    Args:
        kept: Ids of instances that keep their version, if the group does not say so any more.
    """
    members = [m for m in group.members if m.lifecycle != "Terminating:Wait"]
    return (
        group.number == version
        and not any(m.lifecycle.startswith("Terminat") for m in members)
        and sum(m.serving for m in members) >= group.desired
        and all(m.version == version or m.id in kept or group.keeps(m) for m in members)
    )


def restore_group(ctx: Context, held_lock: HeldLock, name: str, template_id: str, version: int) -> None:
    """Bring the group back to a version and wait until it is in service, whatever its state. Idempotent.

    Raises:
        AwsError: It is not in service with that version in time.
    """
    protected = "Refresh" if get_group(ctx, name).protects_new else "Ignore"
    warmup = ctx.recipe.fleet.instance_warmup
    preferences = RefreshPreferences(100, 200, warmup, auto_rollback=False, protected=protected)
    status, refusals = "", 0
    deadline = ctx.clock.monotonic() + _TIMEOUT
    while ctx.clock.monotonic() < deadline:
        held_lock.heartbeat()
        refreshes = instance_refreshes.list_refreshes(ctx.aws, name)
        active = next((r for r in refreshes if r.is_running or r.is_ending), None)
        group = get_group(ctx, name)
        if active is None and is_complete(group, version):
            return
        last_status, status = status, f"{active.status} {active.percent} %" if active else "waiting for the instances"
        status += f": {sum(m.serving for m in group.members)} of {group.desired} in service"
        if status != last_status:
            ctx.progress.detail(f"rolling back to version {version}: {status}")
        if active is not None and active.is_running and active.version != version:
            if instance_refreshes.roll_back(ctx.aws, name) is None:
                refusals += 1
                if refusals > 1:  # AWS cannot roll this one back: cancel it, then start one to the old version
                    instance_refreshes.cancel(ctx.aws, name)
        elif active is None and (group.number != version or _has_other_version(group, version)):
            instance_refreshes.start(ctx.aws, name, template_id, version, preferences)
        ctx.clock.sleep(monitor.POLL_INTERVAL)
    raise AwsError(
        f"{name} is not back on version {version} after {_TIMEOUT:.0f} s ({status})",
        state="The production parameter and the template's default version are unchanged.",
        next="./invoke status; ./invoke rollback continues",
    )


def _has_other_version(group: AutoScalingGroup, version: int) -> bool:
    return any(m.version != version and not (m.is_leaving or group.keeps(m)) for m in group.members)
