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


def fleet_status(shop: Context) -> FleetStatus:
    """Read it all; nothing is changed."""
    scene = describe.describe_fleet(shop)
    claim = lock.holder(shop)
    balancer = load_balancers.get(shop.aws, shop.names.balancer)
    return FleetStatus(
        scene=scene,
        disagreements=(*drift(scene), *_unfinished(shop)),
        claim=claim,
        claim_dead=claim is not None and lock.is_stale(shop, claim),
        address=f"http://{balancer.address}/" if balancer else "",
        names={image.id: image.name for image in images.list_family(shop.aws, shop.name)},
        data=data_storage(shop),
        refused=tuple(line for line in _lines(shop) if line.get("result") != "promoted")[-PROMOTIONS_SHOWN:],
    )


def _unfinished(shop: Context) -> list[str]:
    """A handover or a pause that nobody goes on with."""
    found, pause = transfer.load(shop), freeze.load(shop)
    told = []
    if found is not None:
        way = f"from {found.source} to {found.target or 'a new instance'}"
        told.append(f"rows are on their way {way}; those that count are on {found.truth}")
    if pause is not None:
        told.append(
            f"writes are stopped on {', '.join(pause.instances)} for {pause.what} (the same command goes on with it once"
            " its run has ended; any other that changes the fleet lets everybody write again)"
        )
    return told


def _lines(shop: Context) -> list[dict[str, Any]]:
    path = history.path(shop)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def list_resources(shop: Context) -> list[FleetResource]:
    """Every part of the fleet, whether it is there or not; nothing is changed."""
    names, fleet = shop.names, shop.recipe.fleet
    vpc = aws_vpc.subnet_vpc(shop.aws, fleet.subnet_ids[0] if fleet.subnet_ids else None)
    scene = describe.describe_fleet(shop)
    group, template = scene.group, scene.template
    balancer = load_balancers.get(shop.aws, names.balancer)
    grouped = f"min {group.min}, max {group.max}, desired {group.desired}, version {group.version}" if group else ""
    targets = load_balancers.get_target_group(shop.aws, names.target_group)
    parts = [
        FleetResource("role and instance profile", names.web, iam_roles.exists(shop.aws, names.web)),
        FleetResource("security group", names.web, security_groups.find(shop.aws, names.web, vpc) is not None),
    ]
    trials = load_balancers.get_target_group(shop.aws, names.trial_targets)
    if fleet.balancer or balancer or targets:
        there = security_groups.find(shop.aws, names.balancer_security, vpc) is not None
        parts += [
            FleetResource("security group", names.balancer_security, there),
            FleetResource("target group", names.target_group, targets is not None),
            FleetResource(
                "balancer", names.balancer, balancer is not None, wait.address(shop, balancer) if balancer else ""
            ),
        ]
    told = f"default {template.default}, latest {template.latest}" if template else ""
    parts += [
        FleetResource("launch template", names.template, template is not None, told),
        FleetResource("Auto Scaling group", names.group, group is not None, grouped),
    ]
    if kept := data_storage(shop):
        parts.append(FleetResource(kept.kind, kept.name, kept.there, kept.detail, stays=True))
    if shop.recipe.promote.traffic or trials:  # made by the first promotion that shifts the traffic
        parts.append(FleetResource("trial's target group", names.trial_targets, trials is not None))
    if scene.trial is not None:
        told = f"version {scene.trial.group.version}, {scene.trial.weight} % of the requests"
        parts.append(FleetResource("trial's Auto Scaling group", names.trial, True, told))
    return parts


def data_storage(shop: Context) -> DataStorage | None:
    """The home of the data; None where it is the instance, or a server that is not ours."""
    if shop.recipe.database.on_volume:
        found = ebs.find(shop.aws, shop.name)
        name = ", ".join(one.id for one in found) or f"{shop.name}-data"
        facts = asdict(found[0]) if len(found) == 1 else {}
        return DataStorage("data volume", name, bool(found), _volume(found), facts)
    there = rds.find_db_instance(shop) if shop.recipe.database.mode == "rds" else None
    return DataStorage("database server", there.name, True, there.detail, asdict(there)) if there else None


def _volume(found: list[DataVolumeState]) -> str:
    if len(found) != 1:
        return (
            f"{len(found)} volumes have the tag {VOLUME_TAG}, and nobody can say which rows are right" if found else ""
        )
    (one,) = found
    at = f"{one.attachment} at {one.instance}" if one.instance else one.state
    return f"{one.size} GiB, {one.zone}, {at}"
