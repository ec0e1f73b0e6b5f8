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


def destroy(shop: Context, *, lose_data: bool = False) -> list[str]:
    """Take the fleet down; images, parameters and backups stay. Returns what was removed.

    Rows that live on its instances are backed up first, once their writes are stopped.

    Raises:
        GateError: Rows cannot be saved, and `lose_data` does not say that they may be lost; everything serves on.
        BusyError: Somebody else is changing the fleet.
    """
    names, gone = shop.names, []
    with runs.record_run(shop, "fleet") as run, lock.acquire(shop, run.id, "fleet.destroy") as claim:
        recovery.recover(shop)
        vpc = network.find_vpc(shop)
        there = [found for name in (names.trial, names.group) if (found := auto_scaling.get(shop.aws, name))]
        members = [m.id for group in there for m in group.members if not m.lifecycle.startswith("Terminat")]
        with freeze.frozen(shop, WriteFreeze(run.id, "fleet.destroy", tuple(members)), ending=True):
            saved = guard.backup_before_termination(
                shop, claim, run.id, members, "before fleet.destroy", lose=lose_data
            )
            for name in (names.trial, names.group):
                group = auto_scaling.get(shop.aws, name)
                if group is None:
                    continue
                with shop.progress.phase(f"deleting {name} and its {len(group.members)} instance(s)"):
                    instance_refreshes.cancel(shop.aws, group.name)
                    auto_scaling.delete(shop.aws, shop.clock, group.name)
                    for member in group.members:
                        instances.terminate(shop.aws, shop.clock, member.id)
                gone.append(name)
        with shop.progress.phase("deleting balancer, template, security groups and role"):
            if load_balancers.delete(shop.aws, shop.clock, names.balancer):
                gone.append(names.balancer)
            targets = (names.trial_targets, names.target_group)
            gone += [n for n in targets if load_balancers.delete_target_group(shop.aws, shop.clock, n)]
            if launch_templates.delete(shop.aws, names.template):
                gone.append(names.template)
            if security_groups.find(shop.aws, names.data, vpc) is not None:
                network.ensure_database_security_group(shop, vpc, shut=True)
            # The instances' group names the balancer's as a source, so it goes first.
            gone += [
                n for n in (names.web, names.balancer_security) if security_groups.delete(shop.aws, shop.clock, n, vpc)
            ]
            if iam_roles.remove(shop.aws, names.web):
                gone.append(f"{names.web} (role)")
        if shop.recipe.database.on_volume and (kept := volume.find_volume(shop)):
            shop.progress.say(
                f"{kept.id} stays, with every row: ./invoke fleet.create goes on with it"
                f" (aws ec2 delete-volume --volume-id {kept.id} would end it, and them)"
            )
        run.record(removed=gone, saved=saved)
    return gone
