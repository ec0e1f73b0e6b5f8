"""Wait until the fleet serves, and tell where."""

from __future__ import annotations

from goldenami.aws import auto_scaling, instances
from goldenami.aws.load_balancers import LoadBalancer
from goldenami.context import Context
from goldenami.errors import AwsError, GateError
from goldenami.infra import describe
from goldenami.model.fleet import AutoScalingGroup, FleetState
from goldenami.state import lock
from goldenami.tools.clock import poll


def wait_until_serving(ctx: Context, held_lock: lock.HeldLock | None = None) -> FleetState:
    """Wait until the group has all its instances and each one serves.

    Raises:
        GateError: They do not, within the grace period and what a launch takes.
    """
    patience = ctx.recipe.fleet.health_check_grace_period + 180
    fleet_state = describe.describe_fleet(ctx)
    told = ""
    for _ in poll(ctx.clock, timeout=patience, every=2):
        fleet_state = describe.describe_fleet(ctx)
        group = fleet_state.group
        if group is None:
            raise AwsError(f"{ctx.names.group} is gone", next="./invoke fleet.create")
        serving = [m for m in group.members if m.serving]
        if len(serving) >= group.desired and len(serving) == len(group.members):
            return fleet_state
        if held_lock is not None:
            held_lock.heartbeat()
        states = ", ".join(f"{m.id} {m.lifecycle} {m.target}".rstrip() for m in group.members) or "none yet"
        if states != told:
            told = states
            ctx.progress.detail(f"{len(serving)} of {group.desired} serve: {states}")
    failed = [a for a in auto_scaling.activities(ctx.aws, ctx.names.group) if a.status == "Failed"]
    why = f"; {failed[0].message or failed[0].description}" if failed else ""
    raise GateError(
        f"the fleet does not serve after {patience} s ({told}{why})",
        state="It is left as it is, so that you can look at it.",
        next="./invoke console",
    )


def wait_until_healthy(ctx: Context, patience: float) -> None:
    """Wait, for at most so many seconds, until all of the group that stand serve: the balancer is later to notice than anybody.

    A group that may mark and replace again while it does not know that yet would take one that is well for one that is ill.
    """
    for _ in poll(ctx.clock, timeout=patience, every=1):
        group = auto_scaling.get(ctx.aws, ctx.names.group)
        if group is None or all(m.serving or instances.gone(ctx.aws, m.id) for m in group.members):
            return


def load_balancer_url(ctx: Context, balancer: LoadBalancer) -> str:
    """Where the balancer answers."""
    return f"{'https' if ctx.recipe.fleet.certificate_arn else 'http'}://{balancer.address}"


def instance_url(ctx: Context, group: AutoScalingGroup) -> str:
    """Where the first instance answers, without a balancer."""
    found = [m.address for m in group.members if m.address]
    return f"http://{found[0]}:{ctx.recipe.app.port}" if found else ""
