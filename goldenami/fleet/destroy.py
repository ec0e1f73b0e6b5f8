"""Delete the resources of the fleet."""

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
    """Delete the fleet; images, parameters and backups are kept.

    Databases on its instances are backed up first, after their writes are stopped.

    Args:
        lose_data: Delete instances whose database cannot be backed up.

    Returns:
        The names of the deleted resources.

    Raises:
        GateError: A database cannot be backed up. The fleet stays in service.
        BusyError: Another process holds the fleet lock.
    """
    names, deleted = ctx.names, []
    with runs.record_run(ctx, "fleet") as run, lock.acquire(ctx, run.id, "fleet.destroy") as held_lock:
        recovery.recover(ctx)
        vpc = network.find_vpc(ctx)
        groups = [auto_scaling.get(ctx.aws, name) for name in (names.canary_group, names.group)]
        members = [m.id for g in groups if g for m in g.members if not m.lifecycle.startswith("Terminat")]
        inspected = guard.inspect_before_termination(ctx, members, lose_data=lose_data)
        frozen = guard.instances_to_freeze(ctx, inspected, lose_data=lose_data)
        with freeze.frozen(ctx, WriteFreeze(run.id, "fleet.destroy", frozen), ending=True):
            backups = guard.backup_before_termination(
                ctx, held_lock, run.id, inspected, "before fleet.destroy", lose_data=lose_data
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
                deleted.append(name)
        with ctx.progress.phase("deleting load balancer, launch template, security groups and role"):
            if load_balancers.delete(ctx.aws, ctx.clock, names.load_balancer):
                deleted.append(names.load_balancer)
            targets = (names.canary_target_group, names.target_group)
            deleted += [n for n in targets if load_balancers.delete_target_group(ctx.aws, ctx.clock, n)]
            if launch_templates.delete(ctx.aws, names.launch_template):
                deleted.append(names.launch_template)
            if security_groups.find(ctx.aws, names.database, vpc) is not None:
                network.ensure_database_security_group(ctx, vpc, closed=True)
            # The instances' security group references the load balancer's, so it is deleted first.
            deleted += [
                n
                for n in (names.web, names.load_balancer_security_group)
                if security_groups.delete_by_name(ctx.aws, ctx.clock, n, vpc)
            ]
            if iam_roles.delete_instance_profile(ctx.aws, names.web):
                deleted.append(f"{names.web} (role)")
        if ctx.recipe.database.on_volume and (kept := volume.find_volume(ctx)):
            ctx.progress.info(
                f"kept the data volume {kept.id}; ./invoke fleet.create uses it again"
                f" (delete it with: aws ec2 delete-volume --volume-id {kept.id})"
            )
        run.record(deleted=deleted, backups=backups)
    return deleted
