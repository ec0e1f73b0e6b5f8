"""Wait until the fleet serves, and return its URL."""

from __future__ import annotations

from goldenami.aws import auto_scaling
from goldenami.aws.load_balancers import LoadBalancer
from goldenami.context import Context
from goldenami.errors import AwsError, GateError
from goldenami.infra import describe
from goldenami.model.fleet import NOT_RUNNING, AutoScalingGroup, FleetState
from goldenami.state import lock
from goldenami.tools.clock import poll

_LAUNCH_SECONDS = 180  # until a new instance is in service, in addition to the grace period


def wait_until_serving(ctx: Context, held_lock: lock.HeldLock | None = None) -> FleetState:
    """Wait until the group has its desired number of instances in service; raise GateError if that takes too long."""
    timeout = ctx.recipe.fleet.health_check_grace_period + _LAUNCH_SECONDS
    last_states = ""
    for _ in poll(ctx.clock, timeout=timeout, every=2):
        fleet_state = describe.describe_fleet(ctx)
        group = fleet_state.group
        if group is None:
            raise AwsError(f"{ctx.names.group} was deleted", next="./invoke fleet.create")
        stopped = [m for m in group.members if m.state in NOT_RUNNING and not m.is_leaving]
        if stopped and "ReplaceUnhealthy" in group.suspended:
            states = ", ".join(f"{m.id} is {m.state}" for m in stopped)
            raise GateError(
                f"{states}, and {group.name} does not replace it: ReplaceUnhealthy is suspended",
                state="The fleet is not in service.",
                next="./invoke status",
            )
        serving = [m for m in group.members if m.serving]
        if len(serving) >= group.desired and all(m.serving or m.is_standby for m in group.members):
            return fleet_state
        if held_lock is not None:
            held_lock.heartbeat()
        states = ", ".join(f"{m.id} {m.lifecycle} {m.target}".rstrip() for m in group.members) or "no instances yet"
        if states != last_states:
            last_states = states
            ctx.progress.detail(f"{len(serving)} of {group.desired} in service: {states}")
    failed = [a for a in auto_scaling.list_activities(ctx.aws, ctx.names.group) if a.status == "Failed"]
    cause = f"; {failed[0].message or failed[0].description}" if failed else ""
    raise GateError(
        f"the fleet is not in service after {timeout} s ({last_states}{cause})",
        state="It was not changed, so that you can inspect it.",
        next="./invoke console",
    )


def wait_until_healthy(ctx: Context, timeout: float) -> None:
    """Wait up to `timeout` seconds until every running instance of the group is in service.

    The load balancer reports health with a delay; re-enabling health checks earlier could replace a healthy instance. An
    instance that is stopped or terminated cannot become healthy, so it is not waited for.
    """
    for _ in poll(ctx.clock, timeout=timeout, every=1):
        group = auto_scaling.get(ctx.aws, ctx.names.group)
        if group is None or all(
            m.serving or m.is_standby or m.state not in ("pending", "running") for m in group.members
        ):
            return


def load_balancer_url(ctx: Context, load_balancer: LoadBalancer) -> str:
    """Return the URL of the load balancer."""
    return f"{'https' if ctx.recipe.fleet.certificate_arn else 'http'}://{load_balancer.address}"


def instance_url(ctx: Context, group: AutoScalingGroup) -> str:
    """Return the URL of the first instance, for a fleet without a load balancer; empty if there is none."""
    addresses = [m.address for m in group.members if m.address]
    return f"http://{addresses[0]}:{ctx.recipe.app.port}" if addresses else ""
