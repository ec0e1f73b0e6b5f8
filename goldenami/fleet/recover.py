"""Bring a fleet back that does not serve: start or replace its instance at the same address, with the newest rows there are.

Every step can be interrupted: the replacement is a switchover whose record names the backup (database/recovery.py), and the
same command reads everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from goldenami.aws import auto_scaling, instances, vpc
from goldenami.context import Context
from goldenami.database import membership, recovery, restore, transfer, volume
from goldenami.database.backup_model import Manifest
from goldenami.errors import GateError
from goldenami.fleet import create, recover_instance, recover_state
from goldenami.fleet.recover_plan import RecoverPreflight, RecoverResult, RecoveryPlan, RecoveryState, plan_recovery
from goldenami.infra import describe, launch_template_plan, network, wait
from goldenami.model.fleet import AutoScalingGroup
from goldenami.model.image import Image
from goldenami.promote import history
from goldenami.state import lock, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run
from goldenami.tools.clock import poll

_LAUNCHING_PROCESSES = ("Launch", "Terminate", "AddToLoadBalancer")


@dataclass(frozen=True)
class RecoverOptions:
    """Options of recover.

    Attributes:
        ami: Image of a new instance. Default: the one in production, otherwise the newest good one.
        lose_data: Give up data that cannot be read.
        confirm: Asks the operator whether these losses are accepted.
    """

    ami: str = ""
    lose_data: bool = False
    confirm: Callable[[Sequence[str]], bool] = lambda _: False


def preflight(ctx: Context, options: RecoverOptions) -> RecoverPreflight:
    """Read the fleet and decide the next step. Changes nothing."""
    state = recover_state.read(ctx, options.ami)
    return RecoverPreflight(state, plan_recovery(state))


def recover(ctx: Context, options: RecoverOptions) -> RecoverResult:
    """Bring the fleet back into service.

    Raises:
        GateError: Data would be given up without a confirmation, or the new instance does not serve.
        BusyError: Another process holds the fleet lock.
    """
    with runs.record_run(ctx, "recover") as run, lock.acquire(ctx, run.id, "recover") as held_lock:
        _end_interrupted(ctx)
        state = recover_state.read(ctx, options.ami)
        plan = plan_recovery(state)
        if plan.action in ("start", "restart"):
            _start(ctx, held_lock, plan)
            state = recover_state.read(ctx, options.ami, restarted=True)
            started, plan = plan, plan_recovery(state)
            plan = started if plan.action == "none" else plan
        _raise_if_refused(plan, options)
        manifest = state.backup if plan.rows == "backup" else None
        if plan.action == "replace":
            assert state.image is not None
            manifest = _replace(ctx, run, held_lock, state, plan, state.image)
        _restore_size(ctx)
        serving = recover_state.serving_instances(ctx)
        _associate_address(ctx, serving)
    if plan.action == "restore" or (plan.action == "replace" and plan.rows == "backup" and state.mode == "volume"):
        assert manifest is not None
        restore.restore(ctx, manifest.id, "", serving[0], replace=False)
    return RecoverResult(plan, tuple(serving), state.image, state.image_note, manifest)


def _end_interrupted(ctx: Context) -> None:
    """Recover from an interrupted operation; one whose data is lost with its instances is given up, with its record."""
    switchover = transfer.load(ctx)
    for identity in filter(None, (switchover.source, switchover.target) if switchover else ()):
        instance = instances.get(ctx.aws, identity)
        if instance is not None and instance.state in ("stopping", "stopped"):
            instances.start(ctx.aws, ctx.clock, identity)
    try:
        recovery.recover(ctx)
    except GateError as error:
        if transfer.load(ctx) is not None:
            raise
        ctx.progress.info(error.message)


def _start(ctx: Context, held_lock: HeldLock, plan: RecoveryPlan) -> None:
    """Start the instance, whose disk has the rows, and wait until it serves."""
    (instance,) = plan.instances
    with ctx.progress.phase(f"starting {instance}, whose disk has the rows"):
        if plan.action == "restart":
            instances.stop(ctx.aws, ctx.clock, instance)
        instances.start(ctx.aws, ctx.clock, instance)
        for _ in poll(ctx.clock, timeout=ctx.recipe.fleet.health_check_grace_period, every=2):
            held_lock.heartbeat()
            if instance in recover_state.serving_instances(ctx):
                return


def _raise_if_refused(plan: RecoveryPlan, options: RecoverOptions) -> None:
    if plan.blockers:
        raise GateError("; ".join(plan.blockers), state="No changes were made.", next="./invoke instances")
    if plan.losses and not options.lose_data and not options.confirm(plan.losses):
        raise GateError(
            f"cannot recover without giving up {'; '.join(plan.losses)}",
            state="Nothing was given up; the fleet does not serve.",
            next="./invoke recover --lose-data",
        )


def _replace(
    ctx: Context, run: Run, held_lock: HeldLock, state: RecoveryState, plan: RecoveryPlan, image: Image
) -> Manifest | None:
    """Replace the instances; return the backup that was restored."""
    fleet_state = describe.describe_fleet(ctx)
    alone = fleet_state.group is None and recover_state.is_deployed_alone(fleet_state)
    moves_rows = state.mode == "instance" and plan.rows != "none"
    if state.volume_lost:
        volume.replace_lost(ctx, network.find_network(ctx), run.id)
    if fleet_state.group is None and not alone:
        ctx.progress.info(f"{ctx.names.group} does not exist: creating it again")
        create.ensure_resources(ctx, run, image, empty=moves_rows)
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    version = create.launch_version(ctx, run, image)
    manifest = state.backup if plan.rows == "backup" else None
    if moves_rows or alone:
        if plan.rows == "instance":
            manifest = recover_instance.back_up(ctx, held_lock, run, plan.instances[0])
        recover_instance.replace(ctx, run, held_lock, plan, group, version, manifest)
    elif group is not None:
        _replace_through_group(ctx, held_lock, plan, group, version)
    fleet_state = describe.describe_fleet(ctx)
    if fleet_state.pointer is None or fleet_state.pointer.ami != image.id:
        held_lock.verify_held()
        history.commit(ctx, run.id, fleet_state, version, image, f"recover: {state.image_note or 'as requested'}")
    return manifest


def _replace_through_group(
    ctx: Context, held_lock: HeldLock, plan: RecoveryPlan, group: AutoScalingGroup, version: int
) -> None:
    """Let the group replace its instances: their rows are elsewhere, or there are none."""
    if group.number != version:
        membership.pin_launch_version(ctx, group, version, group.max)
    auto_scaling.resume(ctx.aws, group.name, [p for p in _LAUNCHING_PROCESSES if p in group.suspended])
    if not group.desired:
        desired = {"MinSize": ctx.recipe.fleet.min, "MaxSize": ctx.recipe.fleet.max}
        auto_scaling.update(
            ctx.aws,
            {"AutoScalingGroupName": group.name, **desired, "DesiredCapacity": max(1, ctx.recipe.fleet.desired)},
        )
    members = {member.id for member in group.members}
    with ctx.progress.phase(f"{group.name} replaces {', '.join(plan.instances) or 'its instances'}"):
        for instance in plan.instances:
            if ctx.recipe.database.on_volume and not instances.is_terminated(ctx.aws, instance):
                volume.unmount(ctx, instance)
            if instance in members:
                auto_scaling.terminate(ctx.aws, instance, decrement=False)
            else:
                instances.terminate(ctx.aws, ctx.clock, instance)
        wait.wait_until_serving(ctx, held_lock)


def _restore_size(ctx: Context) -> None:
    """Restore the group's minimum size, which is 0 while it has no instance."""
    group, minimum = auto_scaling.get(ctx.aws, ctx.names.group), ctx.recipe.fleet.min
    if group is not None and group.min < minimum <= group.desired:
        auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MinSize": minimum})


def _associate_address(ctx: Context, serving: Sequence[str]) -> None:
    """Give the fleet's Elastic IP address, if there is one, to the instance that serves."""
    if ctx.recipe.fleet.load_balancer or not serving:
        return
    address = vpc.find_address(ctx.aws, {launch_template_plan.FLEET_TAG: ctx.name})
    if address is not None and address.instance not in serving:
        vpc.associate_address(ctx.aws, address.allocation, serving[0])
        ctx.progress.info(f"{address.address} is associated with {serving[0]}")
