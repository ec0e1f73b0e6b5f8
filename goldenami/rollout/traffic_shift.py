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

    shop: Context
    claim: HeldLock
    watch: RolloutMonitor
    timeline: Timeline
    size: int
    version: int
    steps: tuple[int, ...]
    watched: float
    alarms: tuple[str, ...] = ()
    _doors: TrafficRouting = field(init=False)

    def forward(self) -> str:
        """Launch the trial and let it take the requests, step by step.

        Returns:
            Why to turn back; empty when it carries them all and is well.
        """
        shop = self.shop
        with shop.progress.phase(f"launching {self.size} instance(s) beside the fleet ({shop.names.trial})"):
            self._launch()
            reason = self._pass(lambda group, _: self._stands(group))
        for step in self.steps:
            if reason:
                return reason
            with shop.progress.phase(f"{step} % of the requests to version {self.version}"):
                self._weigh(step)
                reason = self._pass(lambda _, passed: passed >= self.watched)
            if not reason and step == self.steps[0]:
                self._tell("watched", f"{seconds(self.watched)} at {step} %: no restart, no failed probe in a row")
        return reason

    def back(self) -> None:
        """All requests to the fleet's own instances again, at once."""
        load_balancers.set_weights(self.shop.aws, self._doors.listener, {self._doors.own: 100, self._doors.trial: 0})
        self._tell("back", "all requests go to the fleet's own instances again")

    def _launch(self) -> None:
        shop, place = self.shop, network.find_network(self.shop)
        there = aws_auto_scaling.get(shop.aws, shop.names.trial)
        if there is not None and (there.number != self.version or there.desired != self.size):
            end(shop, self.claim)
        self._doors = load_balancer.traffic_routing(shop, place)
        # Before its first request: a balancer probes the targets only of what it forwards to.
        load_balancers.set_weights(shop.aws, self._doors.listener, {self._doors.own: 100, self._doors.trial: 0})
        self._tell("started", f"{self.size} instance(s) of version {self.version} launch beside the fleet")
        infra_auto_scaling.ensure_canary_group(shop, place, self.version, self.size, self._doors.trial)

    def _weigh(self, step: int) -> None:
        shares = {self._doors.own: 100 - step, self._doors.trial: step}
        load_balancers.set_weights(self.shop.aws, self._doors.listener, shares)
        kind = "shifted" if step == 100 else "canary" if step == self.steps[0] else "weighed"
        self._tell(kind, f"{step} % of the requests go to {self.size} instance(s) of version {self.version}")

    def _stands(self, group: AutoScalingGroup) -> bool:
        return sum(m.serving for m in group.members) >= self.size and self.watch.green >= self.size

    def _pass(self, done: Callable[[AutoScalingGroup, float], bool]) -> str:
        """Watch the trial until it is done (given the group and the seconds so far); returns why to turn back, or nothing."""
        shop, began, looked = self.shop, self.shop.clock.monotonic(), -math.inf
        group = self._group()
        while True:
            now = shop.clock.monotonic()
            if self.watch.due(now - looked, now - began):
                looked = now
                self.claim.beat()
                group = self._group()
                self.watch.look(group)
                told = f"{sum(m.serving for m in group.members)} of {self.size} on trial serve"
                shop.progress.detail(f"{told}, {seconds(now - began)}")
                if loud := cloudwatch.firing(shop.aws, self.alarms):
                    return f"the alarm {', '.join(loud)} went off"
            else:
                self.watch.probe()
            if reason := self.watch.red(group.grace, math.inf):
                return reason
            if done(group, now - began):
                return ""
            if now - began > self.watched + group.grace + _LAUNCH:
                return f"the instances on trial do not come up within {seconds(now - began)}"
            shop.clock.sleep(self.watch.rest(now - began))

    def _group(self) -> AutoScalingGroup:
        found = aws_auto_scaling.get(self.shop.aws, self.shop.names.trial)
        if found is None:
            raise AwsError(f"{self.shop.names.trial} is gone", next="./invoke status")
        return found

    def _tell(self, kind: str, text: str) -> None:
        self.timeline.add(Event(self.shop.clock.now().isoformat(timespec="seconds"), kind, text))
        self.shop.progress.say(text)


def end(shop: Context, claim: HeldLock) -> None:
    """All requests to the fleet's own instances, and the trial away without a request cut off; safe to repeat.

    Raises:
        GateError: None of the fleet's own instances serves: then the trial, which does, stays.
    """
    names = shop.names
    trial, own = aws_auto_scaling.get(shop.aws, names.trial), aws_auto_scaling.get(shop.aws, names.group)
    if trial is None:
        return
    if own is None or not any(member.serving for member in own.members):
        raise GateError(
            f"no instance of {names.group} serves, so {names.trial} keeps the requests",
            state="The production parameter and the template's default version are untouched.",
            next="./invoke status; ./invoke rollback goes on",
        )
    doors = load_balancer.traffic_routing(shop, network.find_network(shop))
    with shop.progress.phase(f"all requests to {names.group}; taking {names.trial} away"):
        # Still a target group of the listener, so that what it has in flight is finished before its instances go.
        load_balancers.set_weights(shop.aws, doors.listener, {doors.own: 100, doors.trial: 0})
        aws_auto_scaling.update(shop.aws, {"AutoScalingGroupName": names.trial, "MinSize": 0, "DesiredCapacity": 0})
        for _ in poll(shop.clock, timeout=shop.recipe.fleet.deregistration_delay + _LAUNCH, every=2):
            claim.beat()
            left = aws_auto_scaling.get(shop.aws, names.trial)
            if left is None or not left.members:
                break
        # The group goes last: as long as it is there, whoever comes next knows that something is left to do.
        load_balancers.set_weights(shop.aws, doors.listener, {doors.own: 1})
        aws_auto_scaling.delete(shop.aws, shop.clock, names.trial)
