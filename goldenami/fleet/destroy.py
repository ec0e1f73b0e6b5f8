"""Delete the fleet: group, template, load balancer, role, security groups."""

from __future__ import annotations

from goldenami.aws import (
    auto_scaling,
    iam_roles,
    instance_refreshes,
    instances,
    launch_templates,
    load_balancers,
    security_groups,
)
from goldenami.context import Context
from goldenami.database import freeze, guard, recovery, volume
from goldenami.database.switchover_model import WriteFreeze
from goldenami.infra import network
from goldenami.state import lock, runs


def destroy(ctx: Context, *, lose_data: bool = False) -> list[str]:
    """Take the fleet down; images, parameters and backups stay. Returns what was removed.

    Rows that live on its instances are backed up first, once their writes are stopped.

    Raises:
        GateError: Rows cannot be saved, and `lose_data` does not say that they may be lost; everything serves on.
        BusyError: Somebody else is changing the fleet.
    """
    names, gone = ctx.names, []
    with runs.record_run(ctx, "fleet") as run, lock.acquire(ctx, run.id, "fleet.destroy") as held_lock:
        recovery.recover(ctx)
        vpc = network.find_vpc(ctx)
        there = [found for name in (names.canary_group, names.group) if (found := auto_scaling.get(ctx.aws, name))]
        members = [m.id for group in there for m in group.members if not m.lifecycle.startswith("Terminat")]
        with freeze.frozen(ctx, WriteFreeze(run.id, "fleet.destroy", tuple(members)), ending=True):
            saved = guard.backup_before_termination(
                ctx, held_lock, run.id, members, "before fleet.destroy", lose_data=lose_data
            )
            for name in (names.canary_group, names.group):
                group = auto_scaling.get(ctx.aws, name)
                if group is None:
                    continue
                with ctx.progress.phase(f"deleting {name} and its {len(group.members)} instance(s)"):
                    instance_refreshes.cancel(ctx.aws, group.name)
                    auto_scaling.delete(ctx.aws, ctx.clock, group.name)
                    for member in group.members:
                        instances.terminate(ctx.aws, ctx.clock, member.id)
                gone.append(name)
        with ctx.progress.phase("deleting balancer, template, security groups and role"):
            if load_balancers.delete(ctx.aws, ctx.clock, names.load_balancer):
                gone.append(names.load_balancer)
            targets = (names.canary_target_group, names.target_group)
            gone += [n for n in targets if load_balancers.delete_target_group(ctx.aws, ctx.clock, n)]
            if launch_templates.delete(ctx.aws, names.launch_template):
                gone.append(names.launch_template)
            if security_groups.find(ctx.aws, names.database, vpc) is not None:
                network.ensure_database_security_group(ctx, vpc, closed=True)
            # The instances' group names the balancer's as a source, so it goes first.
            gone += [
                n
                for n in (names.web, names.load_balancer_security_group)
                if security_groups.delete_by_name(ctx.aws, ctx.clock, n, vpc)
            ]
            if iam_roles.delete_instance_profile(ctx.aws, names.web):
                gone.append(f"{names.web} (role)")
        if ctx.recipe.database.on_volume and (kept := volume.find_volume(ctx)):
            ctx.progress.info(
                f"{kept.id} stays, with every row: ./invoke fleet.create goes on with it"
                f" (aws ec2 delete-volume --volume-id {kept.id} would end it, and them)"
            )
        run.record(removed=gone, saved=saved)
    return gone
