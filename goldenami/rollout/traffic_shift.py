"""Traffic shift: a canary group receives a growing share of the requests by weight, monitored at each step.

The canary group is an Auto Scaling group of the new launch template version, as large as the fleet's own, with its own target
group. Once it receives all requests, the fleet's own group is refreshed without traffic and takes the requests back; then the
canary group is deleted. So at rest there is one group, and scaling policies, rollback and status need to know only that one.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from goldenami.aws import auto_scaling as aws_auto_scaling, cloudwatch, load_balancers
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.infra import auto_scaling as infra_auto_scaling, load_balancer, network
from goldenami.infra.load_balancer import TrafficRouting
from goldenami.model.fleet import AutoScalingGroup
from goldenami.rollout.context import get_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.state.lock import HeldLock
from goldenami.text import seconds
from goldenami.tools.clock import poll

_LAUNCH_TIMEOUT = 600.0  # seconds beyond the grace period that launching the canary group may take


@dataclass
class TrafficShift:
    """A traffic shift in progress.

    Attributes:
        size: Number of instances of the canary group, as many as the fleet's own group has.
        steps: Percent of the requests that it receives, one after the other.
        watch: Seconds that each step is monitored.
        alarms: CloudWatch alarms that fail the shift.
    """

    monitor: RolloutMonitor
    size: int
    steps: tuple[int, ...]
    watch: float
    alarms: tuple[str, ...] = ()
    _routing: TrafficRouting = field(init=False)

    def run(self) -> str:
        """Launch the canary group and shift the traffic to it, step by step.

        Returns:
            The failure reason; empty if the canary group receives all requests and is healthy.
        """
        ctx, version = self.monitor.ctx, self.monitor.version
        with ctx.progress.phase(f"launching {self.size} instance(s) beside the fleet ({ctx.names.canary_group})"):
            self._launch()
            reason = self._watch(lambda group, _: self._is_in_service(group))
        for step in self.steps:
            if reason:
                return reason
            with ctx.progress.phase(f"{step} % of the requests to version {version}"):
                self._set_weight(step)
                kind = "shifted" if step == 100 else "canary" if step == self.steps[0] else "weighted"
                text = f"{self.size} instance(s) of version {version} receive {step} % of the requests"
                self.monitor.rollout.record(kind, text)
                reason = self._watch(lambda _, elapsed: elapsed >= self.watch)
            if not reason and step == self.steps[0]:
                text = f"{seconds(self.watch)} at {step} %: no restart, no consecutive failed probes"
                self.monitor.rollout.record("watched", text)
        return reason

    def roll_back(self) -> None:
        """Send all requests to the fleet's own instances again, at once."""
        self._set_weight(0)
        self.monitor.rollout.record("traffic-restored", "the fleet's own instances receive all requests again")

    def _launch(self) -> None:
        ctx, version = self.monitor.ctx, self.monitor.version
        canary = aws_auto_scaling.get(ctx.aws, ctx.names.canary_group)
        if canary is not None and (canary.number != version or canary.desired != self.size):
            end(ctx, self.monitor.rollout.held_lock)
        fleet_network = network.find_network(ctx)
        self._routing = load_balancer.traffic_routing(ctx, fleet_network)
        # Before its first request: a load balancer checks only targets of groups that it forwards to.
        self._set_weight(0)
        self.monitor.rollout.record(
            "started", f"launching {self.size} instance(s) of version {version} beside the fleet"
        )
        infra_auto_scaling.ensure_canary_group(ctx, fleet_network, version, self.size, self._routing.canary)

    def _set_weight(self, percent: int) -> None:
        weights = {self._routing.own: 100 - percent, self._routing.canary: percent}
        load_balancers.set_weights(self.monitor.ctx.aws, self._routing.listener, weights)

    def _is_in_service(self, group: AutoScalingGroup) -> bool:
        return sum(m.serving for m in group.members) >= self.size and self.monitor.healthy_count >= self.size

    def _watch(self, is_done: Callable[[AutoScalingGroup, float], bool]) -> str:
        """Monitor the canary group until it is done, given the group and the elapsed seconds; return the failure reason."""
        ctx = self.monitor.ctx
        timeout = self.watch + ctx.recipe.fleet.health_check_grace_period + _LAUNCH_TIMEOUT
        for elapsed, due in self.monitor.ticks(timeout):
            if due:
                group = get_group(ctx, ctx.names.canary_group)
                self.monitor.poll(group)
                in_service = sum(m.serving for m in group.members)
                ctx.progress.detail(f"{in_service} of {self.size} canary instance(s) in service, {seconds(elapsed)}")
                if firing := cloudwatch.list_firing_alarms(ctx.aws, self.alarms):
                    return f"the CloudWatch alarm {', '.join(firing)} is in state ALARM"
            if reason := self.monitor.failure_reason(group.grace):
                return reason
            if is_done(group, elapsed):
                return ""
        return f"the canary instances are not in service after {seconds(timeout)}"


def end(ctx: Context, held_lock: HeldLock) -> None:
    """Send all requests to the fleet's own instances and delete the canary group once its requests are finished. Idempotent.

    Raises:
        GateError: No instance of the fleet's own group is in service; then the canary group keeps the requests.
    """
    names = ctx.names
    canary, own = aws_auto_scaling.get(ctx.aws, names.canary_group), aws_auto_scaling.get(ctx.aws, names.group)
    if canary is None:
        return
    if own is None or not any(member.serving for member in own.members):
        raise GateError(
            f"cannot delete {names.canary_group}: no instance of {names.group} is in service",
            state="The canary group receives the requests. The production parameter and the template's default version are"
            " unchanged.",
            next="./invoke status; ./invoke rollback continues",
        )
    routing = load_balancer.traffic_routing(ctx, network.find_network(ctx))
    with ctx.progress.phase(f"sending all requests to {names.group}; deleting {names.canary_group}"):
        # Its target group stays with the listener until its instances have finished their requests.
        load_balancers.set_weights(ctx.aws, routing.listener, {routing.own: 100, routing.canary: 0})
        aws_auto_scaling.update(
            ctx.aws, {"AutoScalingGroupName": names.canary_group, "MinSize": 0, "DesiredCapacity": 0}
        )
        for _ in poll(ctx.clock, timeout=ctx.recipe.fleet.deregistration_delay + _LAUNCH_TIMEOUT, every=2):
            held_lock.heartbeat()
            canary = aws_auto_scaling.get(ctx.aws, names.canary_group)
            if canary is None or not canary.members:
                break
        # The group is deleted last: while it exists, the next command knows that there is something left to do.
        load_balancers.set_weights(ctx.aws, routing.listener, {routing.own: 1})
        aws_auto_scaling.delete(ctx.aws, ctx.clock, names.canary_group)
