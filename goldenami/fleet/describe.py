"""`invoke status`: one screen about the fleet: pointer, template, group, instances, what does not agree, what was promoted."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from goldenami.aws import ebs, iam_roles, images, load_balancers, security_groups
from goldenami.aws import vpc as aws_vpc
from goldenami.context import Context
from goldenami.database import freeze, rds, transfer
from goldenami.fleet.model import PROMOTIONS_SHOWN, DataStorage, FleetResource, FleetStatus
from goldenami.infra import describe, wait
from goldenami.model.image import VOLUME_TAG
from goldenami.model.resources import DataVolumeState
from goldenami.promote import history
from goldenami.promote.rollback_plan import drift
from goldenami.state import lock


def fleet_status(ctx: Context) -> FleetStatus:
    """Read it all; nothing is changed."""
    fleet_state = describe.describe_fleet(ctx)
    held_lock = lock.holder(ctx)
    balancer = load_balancers.get(ctx.aws, ctx.names.load_balancer)
    return FleetStatus(
        fleet_state=fleet_state,
        drift=(*drift(fleet_state), *_unfinished(ctx)),
        lock=held_lock,
        lock_is_stale=held_lock is not None and lock.is_stale(ctx, held_lock),
        address=f"http://{balancer.address}/" if balancer else "",
        names={image.id: image.name for image in images.list_family(ctx.aws, ctx.name)},
        data=data_storage(ctx),
        refused=tuple(line for line in _lines(ctx) if line.get("result") != "promoted")[-PROMOTIONS_SHOWN:],
    )


def _unfinished(ctx: Context) -> list[str]:
    """A handover or a pause that nobody goes on with."""
    found, pause = transfer.load(ctx), freeze.load(ctx)
    told = []
    if found is not None:
        way = f"from {found.source} to {found.target or 'a new instance'}"
        told.append(f"rows are on their way {way}; those that count are on {found.primary}")
    if pause is not None:
        told.append(
            f"writes are stopped on {', '.join(pause.instances)} for {pause.operation} (the same command goes on with it once"
            " its run has ended; any other that changes the fleet lets everybody write again)"
        )
    return told


def _lines(ctx: Context) -> list[dict[str, Any]]:
    path = history.history_path(ctx)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def list_resources(ctx: Context) -> list[FleetResource]:
    """Every part of the fleet, whether it is there or not; nothing is changed."""
    names, fleet = ctx.names, ctx.recipe.fleet
    vpc = aws_vpc.subnet_vpc(ctx.aws, fleet.subnet_ids[0] if fleet.subnet_ids else None)
    fleet_state = describe.describe_fleet(ctx)
    group, template = fleet_state.group, fleet_state.template
    balancer = load_balancers.get(ctx.aws, names.load_balancer)
    grouped = f"min {group.min}, max {group.max}, desired {group.desired}, version {group.version}" if group else ""
    targets = load_balancers.get_target_group(ctx.aws, names.target_group)
    parts = [
        FleetResource("role and instance profile", names.web, iam_roles.instance_profile_exists(ctx.aws, names.web)),
        FleetResource("security group", names.web, security_groups.find(ctx.aws, names.web, vpc) is not None),
    ]
    trials = load_balancers.get_target_group(ctx.aws, names.canary_target_group)
    if fleet.load_balancer or balancer or targets:
        there = security_groups.find(ctx.aws, names.load_balancer_security_group, vpc) is not None
        parts += [
            FleetResource("security group", names.load_balancer_security_group, there),
            FleetResource("target group", names.target_group, targets is not None),
            FleetResource(
                "balancer",
                names.load_balancer,
                balancer is not None,
                wait.load_balancer_url(ctx, balancer) if balancer else "",
            ),
        ]
    told = f"default {template.default}, latest {template.latest}" if template else ""
    parts += [
        FleetResource("launch template", names.launch_template, template is not None, told),
        FleetResource("Auto Scaling group", names.group, group is not None, grouped),
    ]
    if kept := data_storage(ctx):
        parts.append(FleetResource(kept.kind, kept.name, kept.exists, kept.detail, kept=True))
    if ctx.recipe.promote.traffic or trials:  # made by the first promotion that shifts the traffic
        parts.append(FleetResource("trial's target group", names.canary_target_group, trials is not None))
    if fleet_state.canary is not None:
        told = f"version {fleet_state.canary.group.version}, {fleet_state.canary.weight} % of the requests"
        parts.append(FleetResource("trial's Auto Scaling group", names.canary_group, True, told))
    return parts


def data_storage(ctx: Context) -> DataStorage | None:
    """The home of the data; None where it is the instance, or a server that is not ours."""
    if ctx.recipe.database.on_volume:
        found = ebs.list_volumes(ctx.aws, ctx.name)
        name = ", ".join(one.id for one in found) or f"{ctx.name}-data"
        facts = asdict(found[0]) if len(found) == 1 else {}
        return DataStorage("data volume", name, bool(found), _volume(found), facts)
    there = rds.find_db_instance(ctx) if ctx.recipe.database.mode == "rds" else None
    return DataStorage("database server", there.name, True, there.detail, asdict(there)) if there else None


def _volume(found: list[DataVolumeState]) -> str:
    if len(found) != 1:
        return (
            f"{len(found)} volumes have the tag {VOLUME_TAG}, and nobody can say which rows are right" if found else ""
        )
    (one,) = found
    at = f"{one.attachment} at {one.instance}" if one.instance else one.state
    return f"{one.size} GiB, {one.zone}, {at}"
