"""Replace an instance whose rows are in a backup: back them up if they can still be read, and restore them on a new instance.

The record of the switchover names the backup. Until the new instance has the rows, an interruption only terminates it.
"""

from __future__ import annotations

from goldenami.aws import auto_scaling, instances, launch_templates, load_balancers
from goldenami.context import Context
from goldenami.database import agent, backup, freeze, transfer
from goldenami.database.backup_model import Manifest
from goldenami.database.switchover_model import Switchover, WriteFreeze
from goldenami.errors import GateError, GoldenError
from goldenami.fleet.recover_plan import RecoveryPlan
from goldenami.model.fleet import AutoScalingGroup
from goldenami.rollout.context import RolloutContext
from goldenami.rollout.replace_instance import InstanceReplacement
from goldenami.state import records
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run


def back_up(ctx: Context, held_lock: HeldLock, run: Run, instance: str) -> Manifest:
    """Stop writes on an instance that does not serve, and back up its rows."""
    freeze.save(ctx, WriteFreeze(run.id, "recover", (instance,)))
    try:
        agent.ensure_backup_bucket(ctx)
        agent.run(ctx, instance, "stop-writes", backup=f"{run.id}-recovery")
        return backup.take_backup(ctx, instance, f"{run.id}-recovery", "recover", heartbeat=held_lock.heartbeat)
    except GoldenError as error:
        freeze.end_stale_freeze(ctx)
        raise GateError(
            f"cannot back up the database of {instance}: {error.message}",
            state="The instance keeps running, with all its data.",
            next="./invoke recover tries again; ./invoke recover --lose-data restores the newest backup instead",
        ) from None


def replace(
    ctx: Context,
    run: Run,
    held_lock: HeldLock,
    plan: RecoveryPlan,
    group: AutoScalingGroup | None,
    version: int,
    manifest: Manifest | None,
) -> None:
    """Launch an instance without traffic, restore its rows, and only then let it take the address of the old one."""
    template = launch_templates.get(ctx.aws, ctx.names.launch_template)
    assert template is not None
    if group is not None and not group.members:  # otherwise the group launches an instance of its own
        auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MinSize": 0, "DesiredCapacity": 0})
    source = _lost_instance(ctx, plan, manifest) if manifest else ""
    switchover = Switchover(
        run.id,
        source,
        version=version,
        max_size=group.max if group else 0,
        suspended=group.suspended if group else (),
        method=transfer.transfer_method(ctx),
        backup=manifest.id if manifest else "",
    )
    replacement = InstanceReplacement(
        RolloutContext(ctx, run, held_lock),
        switchover,
        template.id,
        previous_version=version,
        grace=ctx.recipe.fleet.health_check_grace_period,
        watch=0,
        retry="./invoke recover",
        group=group.name if group else "",
        target_group="" if group else load_balancers.get_target_group(ctx.aws, ctx.names.target_group) or "",
    )
    with ctx.progress.phase(f"replacing {source or 'the instance'}"):
        reason = replacement.run()
    if reason:
        evidence = replacement.evidence[0] if replacement.evidence else run.folder / "recover.log"
        raise GateError(
            f"the new instance does not serve: {reason}",
            state="Nothing was given up: the backup is intact.",
            next=f"less {evidence}; ./invoke recover --ami ami-… uses another image",
        )
    records.clear(ctx, ctx.names.write_freeze)
    for instance in plan.instances if not source else ():
        instances.terminate(ctx.aws, ctx.clock, instance)


def _lost_instance(ctx: Context, plan: RecoveryPlan, manifest: Manifest) -> str:
    """Return the instance whose rows the backup has; it is terminated when the new one serves."""
    if plan.instances:
        return plan.instances[0]
    if instances.is_terminated(ctx.aws, manifest.instance):
        return manifest.instance
    raise GateError(
        f"{manifest.id} was taken on {manifest.instance}, which runs but does not belong to the fleet",
        state="No instance was launched.",
        next=f"aws ec2 describe-instances --instance-ids {manifest.instance}",
    )
