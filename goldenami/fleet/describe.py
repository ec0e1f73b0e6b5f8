"""Status and resources of the fleet."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from goldenami.aws import ebs, iam_roles, images, load_balancers, security_groups, vpc as aws_vpc
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
    """Return the status of the fleet, without changing it."""
    fleet_state = describe.describe_fleet(ctx)
    held_lock = lock.holder(ctx)
    balancer = load_balancers.get(ctx.aws, ctx.names.load_balancer)
    return FleetStatus(
        fleet_state=fleet_state,
        drift=(*drift(fleet_state), *_unfinished(ctx)),
        lock=held_lock,
        lock_is_stale=held_lock is not None and lock.is_stale(ctx, held_lock),
        address=wait.load_balancer_url(ctx, balancer) if balancer else "",
        names={image.id: image.name for image in images.list_family(ctx.aws, ctx.name)},
        data=data_storage(ctx),
        failed_promotions=tuple(e for e in _history(ctx) if e.get("result") != "promoted")[-PROMOTIONS_SHOWN:],
    )


def _unfinished(ctx: Context) -> list[str]:
    """Return an unfinished switchover and an unfinished write freeze."""
    switchover, write_freeze = transfer.load(ctx), freeze.load(ctx)
    unfinished = []
    if switchover is not None:
        target = switchover.target or "a new instance"
        unfinished.append(
            f"unfinished switchover from {switchover.source} to {target}; the primary is {switchover.primary}"
        )
    if write_freeze is not None:
        unfinished.append(
            f"writes are stopped on {', '.join(write_freeze.instances)} for {write_freeze.operation} (once its run has"
            " ended, the same command continues it; any other command that changes the fleet resumes writes)"
        )
    return unfinished


def _history(ctx: Context) -> list[dict[str, Any]]:
    path = history.history_path(ctx)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def list_resources(ctx: Context) -> list[FleetResource]:
    """Return every resource of the fleet, and whether it exists."""
    names, fleet = ctx.names, ctx.recipe.fleet
    vpc = aws_vpc.subnet_vpc(ctx.aws, fleet.subnet_ids[0] if fleet.subnet_ids else None)
    fleet_state = describe.describe_fleet(ctx)
    group, template = fleet_state.group, fleet_state.template
    balancer = load_balancers.get(ctx.aws, names.load_balancer)
    size = f"min {group.min}, max {group.max}, desired {group.desired}, version {group.version}" if group else ""
    targets = load_balancers.get_target_group(ctx.aws, names.target_group)
    resources = [
        FleetResource("role and instance profile", names.web, iam_roles.instance_profile_exists(ctx.aws, names.web)),
        FleetResource("security group", names.web, security_groups.find(ctx.aws, names.web, vpc) is not None),
    ]
    canary_targets = load_balancers.get_target_group(ctx.aws, names.canary_target_group)
    if fleet.load_balancer or balancer or targets:
        security_group = security_groups.find(ctx.aws, names.load_balancer_security_group, vpc)
        address = wait.load_balancer_url(ctx, balancer) if balancer else ""
        resources += [
            FleetResource("security group", names.load_balancer_security_group, security_group is not None),
            FleetResource("target group", names.target_group, targets is not None),
            FleetResource("load balancer", names.load_balancer, balancer is not None, address),
        ]
    versions = f"default {template.default}, latest {template.latest}" if template else ""
    resources += [
        FleetResource("launch template", names.launch_template, template is not None, versions),
        FleetResource("Auto Scaling group", names.group, group is not None, size),
    ]
    if storage := data_storage(ctx):
        resources.append(FleetResource(storage.kind, storage.name, storage.exists, storage.detail, kept=True))
    # The first promotion that shifts traffic creates the canary target group.
    if ctx.recipe.promote.traffic or canary_targets:
        resources.append(FleetResource("canary target group", names.canary_target_group, canary_targets is not None))
    if canary := fleet_state.canary:
        share = f"version {canary.group.version}, {canary.weight} % of the requests"
        resources.append(FleetResource("canary Auto Scaling group", names.canary_group, True, share))
    return resources


def data_storage(ctx: Context) -> DataStorage | None:
    """Return the storage of the database; None if it is the instance's root volume or a database that AWS does not list."""
    if ctx.recipe.database.on_volume:
        volumes = ebs.list_volumes(ctx.aws, ctx.name)
        name = ", ".join(volume.id for volume in volumes) or f"{ctx.name}-data"
        facts = asdict(volumes[0]) if len(volumes) == 1 else {}
        return DataStorage("data volume", name, bool(volumes), _volume_detail(volumes), facts)
    server = rds.find_db_instance(ctx) if ctx.recipe.database.mode == "rds" else None
    return DataStorage("DB instance", server.name, True, server.detail, asdict(server)) if server else None


def _volume_detail(volumes: list[DataVolumeState]) -> str:
    if len(volumes) > 1:
        return f"{len(volumes)} volumes have the tag {VOLUME_TAG}; the authoritative copy is unknown"
    if not volumes:
        return ""
    volume = volumes[0]
    attachment = f"{volume.attachment} to {volume.instance}" if volume.instance else volume.state
    return f"{volume.size} GiB, {volume.zone}, {attachment}"
