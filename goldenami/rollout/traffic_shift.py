"""A true traffic canary: a second set of instances takes its share of the requests by weight, watched at each step.

The trial is an Auto Scaling group of the new template version, as large as the fleet's own, with a target group of its own.
Once it has carried all requests, the fleet's own group is renewed while it has none, takes the requests back, and the trial
goes. So at rest there is one group, however an image came to it, and scaling policies, rollback and status know only that.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from goldenami.aws import auto_scaling as aws_auto_scaling
from goldenami.aws import cloudwatch, load_balancers
from goldenami.context import Context
from goldenami.errors import AwsError, GateError
from goldenami.infra import auto_scaling as infra_auto_scaling
from goldenami.infra import load_balancer, network
from goldenami.infra.load_balancer import TrafficRouting
from goldenami.model.fleet import AutoScalingGroup
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state.lock import HeldLock
from goldenami.text import seconds
from goldenami.tools.clock import poll

_LAUNCH = 600.0  # seconds beyond the grace period that launching the trial may take


@dataclass
class TrafficShift:
    """A shift of the traffic under way.

    Attributes:
        size: How many instances, as many as the fleet's own group has.
        version: The template version on trial.
        steps: Percent of the requests that it takes, one after the other.
        watched: Seconds that each step is watched.
        alarms: CloudWatch alarms that turn it back.
    """

    ctx: Context
    held_lock: HeldLock
    monitor: RolloutMonitor
    timeline: Timeline
    size: int
    version: int
    steps: tuple[int, ...]
    watched: float
    alarms: tuple[str, ...] = ()
    _routing: TrafficRouting = field(init=False)

    def run(self) -> str:
        """Launch the trial and let it take the requests, step by step.

        Returns:
            Why to turn back; empty when it carries them all and is well.
        """
        ctx = self.ctx
        with ctx.progress.phase(f"launching {self.size} instance(s) beside the fleet ({ctx.names.canary_group})"):
            self._launch()
            reason = self._pass(lambda group, _: self._stands(group))
        for step in self.steps:
            if reason:
                return reason
            with ctx.progress.phase(f"{step} % of the requests to version {self.version}"):
                self._set_weights(step)
                reason = self._pass(lambda _, passed: passed >= self.watched)
            if not reason and step == self.steps[0]:
                self._record("watched", f"{seconds(self.watched)} at {step} %: no restart, no failed probe in a row")
        return reason

    def roll_back(self) -> None:
        """All requests to the fleet's own instances again, at once."""
        load_balancers.set_weights(
            self.ctx.aws, self._routing.listener, {self._routing.own: 100, self._routing.canary: 0}
        )
        self._record("back", "all requests go to the fleet's own instances again")

    def _launch(self) -> None:
        ctx, place = self.ctx, network.find_network(self.ctx)
        there = aws_auto_scaling.get(ctx.aws, ctx.names.canary_group)
        if there is not None and (there.number != self.version or there.desired != self.size):
            end(ctx, self.held_lock)
        self._routing = load_balancer.traffic_routing(ctx, place)
        # Before its first request: a balancer probes the targets only of what it forwards to.
        load_balancers.set_weights(ctx.aws, self._routing.listener, {self._routing.own: 100, self._routing.canary: 0})
        self._record("started", f"{self.size} instance(s) of version {self.version} launch beside the fleet")
        infra_auto_scaling.ensure_canary_group(ctx, place, self.version, self.size, self._routing.canary)

    def _set_weights(self, step: int) -> None:
        shares = {self._routing.own: 100 - step, self._routing.canary: step}
        load_balancers.set_weights(self.ctx.aws, self._routing.listener, shares)
        kind = "shifted" if step == 100 else "canary" if step == self.steps[0] else "weighed"
        self._record(kind, f"{step} % of the requests go to {self.size} instance(s) of version {self.version}")

    def _stands(self, group: AutoScalingGroup) -> bool:
        return sum(m.serving for m in group.members) >= self.size and self.monitor.healthy_count >= self.size

    def _pass(self, done: Callable[[AutoScalingGroup, float], bool]) -> str:
        """Watch the trial until it is done (given the group and the seconds so far); returns why to turn back, or nothing."""
        ctx, began, looked = self.ctx, self.ctx.clock.monotonic(), -math.inf
        group = self._group()
        while True:
            now = ctx.clock.monotonic()
            if self.monitor.should_poll(now - looked, now - began):
                looked = now
                self.held_lock.heartbeat()
                group = self._group()
                self.monitor.poll(group)
                told = f"{sum(m.serving for m in group.members)} of {self.size} on trial serve"
                ctx.progress.detail(f"{told}, {seconds(now - began)}")
                if loud := cloudwatch.list_firing_alarms(ctx.aws, self.alarms):
                    return f"the alarm {', '.join(loud)} went off"
            else:
                self.monitor.probe()
            if reason := self.monitor.failure_reason(group.grace, math.inf):
                return reason
            if done(group, now - began):
                return ""
            if now - began > self.watched + group.grace + _LAUNCH:
                return f"the instances on trial do not come up within {seconds(now - began)}"
            ctx.clock.sleep(self.monitor.poll_interval(now - began))

    def _group(self) -> AutoScalingGroup:
        found = aws_auto_scaling.get(self.ctx.aws, self.ctx.names.canary_group)
        if found is None:
            raise AwsError(f"{self.ctx.names.canary_group} is gone", next="./invoke status")
        return found

    def _record(self, kind: str, text: str) -> None:
        self.timeline.add(Event(self.ctx.clock.now().isoformat(timespec="seconds"), kind, text))
        self.ctx.progress.info(text)


def end(ctx: Context, held_lock: HeldLock) -> None:
    """All requests to the fleet's own instances, and the trial away without a request cut off; safe to repeat.

    Raises:
        GateError: None of the fleet's own instances serves: then the trial, which does, stays.
    """
    names = ctx.names
    trial, own = aws_auto_scaling.get(ctx.aws, names.canary_group), aws_auto_scaling.get(ctx.aws, names.group)
    if trial is None:
        return
    if own is None or not any(member.serving for member in own.members):
        raise GateError(
            f"no instance of {names.group} serves, so {names.canary_group} keeps the requests",
            state="The production parameter and the template's default version are untouched.",
            next="./invoke status; ./invoke rollback goes on",
        )
    doors = load_balancer.traffic_routing(ctx, network.find_network(ctx))
    with ctx.progress.phase(f"all requests to {names.group}; taking {names.canary_group} away"):
        # Still a target group of the listener, so that what it has in flight is finished before its instances go.
        load_balancers.set_weights(ctx.aws, doors.listener, {doors.own: 100, doors.canary: 0})
        aws_auto_scaling.update(
            ctx.aws, {"AutoScalingGroupName": names.canary_group, "MinSize": 0, "DesiredCapacity": 0}
        )
        for _ in poll(ctx.clock, timeout=ctx.recipe.fleet.deregistration_delay + _LAUNCH, every=2):
            held_lock.heartbeat()
            left = aws_auto_scaling.get(ctx.aws, names.canary_group)
            if left is None or not left.members:
                break
        # The group goes last: as long as it is there, whoever comes next knows that something is left to do.
        load_balancers.set_weights(ctx.aws, doors.listener, {doors.own: 1})
        aws_auto_scaling.delete(ctx.aws, ctx.clock, names.canary_group)
