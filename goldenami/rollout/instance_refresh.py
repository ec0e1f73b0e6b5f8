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

    shop: Context
    claim: HeldLock
    watch: RolloutMonitor
    timeline: Timeline
    group: str
    template: str
    old: int | None
    new: int
    wanted: RefreshPreferences
    refresh: str = ""

    def forward(self) -> str:
        """Renew the instances and watch them.

        Returns:
            Why to turn back; empty when the whole fleet runs the new version and serves.
        """
        self.refresh = self.refresh or self._start()
        shop, began = self.shop, self.shop.clock.monotonic()
        looked = -math.inf
        baked: float | None = None
        told = ""
        while True:
            now = shop.clock.monotonic()
            if self.watch.due(now - looked, now - began):
                looked = now
                self.claim.beat()
                refresh = instance_refreshes.get(shop.aws, self.group, self.refresh)
                group = self._group()
                self.watch.look(group)
                self._events(refresh, group)
                line = self._line(refresh, group, now - began)
                if line != told:
                    told = line
                    shop.progress.detail(f"{line}, {seconds(now - began)}")
                if refresh.status in ("Failed", "Cancelled", "Cancelling") or refresh.status.startswith("Rollback"):
                    return self.watch.red(group.grace, min_healthy_time(self.wanted)) or (
                        f"the instance refresh is {refresh.status}: {refresh.reason or 'AWS does not say why'}"
                    )
                if refresh.status == "Successful" and wait_until_ended(group, self.new):
                    baked = now if baked is None else baked
            else:
                self.watch.probe()
            if reason := self.watch.red(group.grace, min_healthy_time(self.wanted)):
                return reason
            if baked is not None and (self.timeline.first("baking") or now - baked >= self.wanted.bake):
                return ""
            if now - began > self._limit(group):
                return f"the instance refresh does not come to its end ({refresh.status}, {refresh.percent} %)"
            shop.clock.sleep(self.watch.rest(now - began))

    def back(self) -> None:
        """Tell AWS to turn back; it may have done so by itself."""
        instance_refreshes.roll_back(self.shop.aws, self.group)

    def _start(self) -> str:
        started = instance_refreshes.start(self.shop.aws, self.group, self.template, self.new, self.wanted)
        if started is None:
            raise BusyError(
                "another instance refresh has begun in these very moments",
                state="This one has not changed the fleet.",
                next="./invoke status",
            )
        self._tell("started", f"instance refresh {started} to version {self.new} began", started)
        return started

    def _group(self) -> AutoScalingGroup:
        found = auto_scaling.get(self.shop.aws, self.group)
        if found is None:
            raise AwsError(f"{self.group} is gone", state="Nobody is served.", next="./invoke fleet.create")
        return found

    def _limit(self, group: AutoScalingGroup) -> float:
        rounds = max(2, group.desired)
        return _CANCEL_TIMEOUT + rounds * (group.grace + self.wanted.warmup) + 2 * self.wanted.delay + self.wanted.bake

    def _events(self, refresh: InstanceRefresh, group: AutoScalingGroup) -> None:
        """Note the milestones of the checklist once they are reached."""
        green = self.watch.green
        part = canary_count(group.desired, self.wanted)
        if green >= min(part, max(1, group.desired)) and not self.timeline.first("canary"):
            self._tell("canary", f"{green} new instance(s) beside {len(self._others(group))} old one(s) take traffic")
        canary = self.timeline.first("canary")
        held = self.wanted.delay if self.wanted.checkpoints else max(self.wanted.warmup, self.wanted.bake)
        first = min((r.green for r in self.watch.records.values() if r.green is not None), default=None)
        now = self.shop.clock.monotonic()
        if canary and first is not None and now - first >= held and not self.timeline.first("watched"):
            self._tell("watched", self._watched(now - first))
        if refresh.status == "Baking" and not self.timeline.first("baking"):
            self._tell("baking", f"all renewed; watched for {self.wanted.bake} s more")
        if not self._others(group, serving=True) and green and not self.timeline.first("shifted"):
            self._tell("shifted", f"all {green} serving instance(s) run version {self.new}")
        if wait_until_ended(group, self.new) and not self.timeline.first("terminated"):
            if not self.timeline.first("watched") and first is not None:
                self._tell("watched", self._watched(now - first))
            self._tell("terminated", "no old instance is left in the group")

    def _watched(self, time: float) -> str:
        good = sum(r.good for r in self.watch.records.values())
        errors = [r.last.errors for r in self.watch.records.values() if r.last.errors is not None]
        journal = f"{sum(errors)} error(s) in the service's journal, no restart" if errors else "journal not reachable"
        return f"{seconds(time)}: {good} good probes, {journal}"

    def _others(self, group: AutoScalingGroup, *, serving: bool = False) -> list[str]:
        return [m.id for m in group.members if m.version != self.new and (m.serving or not serving)]

    def _line(self, refresh: InstanceRefresh, group: AutoScalingGroup, _elapsed: float) -> str:
        new = [m for m in group.members if m.version == self.new]
        well = sum(m.serving for m in new)
        return (
            f"{refresh.status} {refresh.percent} %: {well} of {len(new)} new and {len(group.members) - len(new)} old"
            f" instance(s) serve"
        )

    def _tell(self, kind: str, text: str, subject: str = "") -> None:
        self.timeline.add(Event(self.shop.clock.now().isoformat(timespec="seconds"), kind, text, subject))
        self.shop.progress.say(text)


def wait_until_ended(group: AutoScalingGroup, version: int) -> bool:
    """Whether the group launches this version, has all its instances of it, and each serves."""
    staying = [m for m in group.members if not m.lifecycle.startswith("Terminat")]
    return (
        group.number == version
        and len(staying) == len(group.members)
        and sum(m.serving for m in staying) >= group.desired
        and all(m.version == version for m in staying)
    )


def restore_group(shop: Context, claim: HeldLock, name: str, template: str, version: int) -> None:
    """See to it that the group is back on a version and serves, whatever state it is in; safe to repeat.

    Raises:
        AwsError: It is not, long after it should be.
    """
    told, refused = "", 0
    began = shop.clock.monotonic()
    wanted = RefreshPreferences(100, 200, shop.recipe.fleet.warmup, auto_rollback=False)
    while shop.clock.monotonic() - began < _CANCEL_TIMEOUT:
        claim.beat()
        active = next((r for r in instance_refreshes.list_refreshes(shop.aws, name) if r.rolling or r.ending), None)
        group = auto_scaling.get(shop.aws, name)
        if group is None:
            raise AwsError(f"{name} is gone", state="Nobody is served.", next="./invoke fleet.create")
        if active is None and wait_until_ended(group, version):
            return
        line = f"{active.status} {active.percent} %" if active else "waiting for the instances"
        line += f": {sum(m.serving for m in group.members)} of {group.desired} serve"
        if line != told:
            told = line
            shop.progress.detail(f"going back to version {version}: {line}")
        if active is not None and active.rolling and active.version != version:
            if instance_refreshes.roll_back(shop.aws, name) is None:
                refused += 1
                if refused > 1:  # it is not one that AWS can take back: stop it and go back by a refresh of our own
                    instance_refreshes.cancel(shop.aws, name)
        elif active is None and (group.number != version or _other_versions(group, version)):
            instance_refreshes.start(shop.aws, name, template, version, wanted)
        shop.clock.sleep(monitor.POLL_INTERVAL)
    raise AwsError(
        f"{name} is not back on version {version} after {_CANCEL_TIMEOUT:.0f} s ({told})",
        state="The production parameter and the template's default version are untouched.",
        next="./invoke status; ./invoke rollback goes on",
    )


def _other_versions(group: AutoScalingGroup, version: int) -> bool:
    return any(m.version != version and not m.lifecycle.startswith("Terminat") for m in group.members)
