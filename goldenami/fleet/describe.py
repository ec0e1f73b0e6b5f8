"""Status and resources of the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial

from goldenami.aws import (
    auto_scaling,
    ebs,
    iam_roles,
    images,
    instances,
    load_balancers,
    security_groups,
    vpc as aws_vpc,
)
from goldenami.aws.load_balancers import LoadBalancer
from goldenami.bake import inventory
from goldenami.context import Context
from goldenami.database import freeze, rds, release_plan, transfer
from goldenami.fleet import status_plan
from goldenami.fleet.model import (
    PROMOTIONS_SHOWN,
    CandidateSchema,
    DataStorage,
    FleetObservation,
    FleetResource,
    FleetStatus,
    ServiceProbe,
)
from goldenami.images import catalog
from goldenami.images.candidate_plan import choose_candidate
from goldenami.infra import describe, health, launch_template_plan, wait
from goldenami.model.fleet import FleetState
from goldenami.model.image import VOLUME_TAG
from goldenami.model.resources import DataVolumeState, Instance
from goldenami.promote import history
from goldenami.promote.rollback_plan import running_images
from goldenami.state import lock
from goldenami.tools import http

_REQUESTS = 3  # requests until one is answered
_REQUEST_TIMEOUT = 3.0  # seconds


def fleet_status(ctx: Context) -> FleetStatus:
    """Return the status of the fleet, without changing it."""
    with ThreadPoolExecutor() as pool:  # parallel, because each call takes a network round trip
        fleet = pool.submit(describe.describe_fleet, ctx)
        balancer = pool.submit(load_balancers.get, ctx.aws, ctx.names.load_balancer)
        tagged = pool.submit(instances.list_tagged, ctx.aws, launch_template_plan.FLEET_TAG, ctx.name)
        family = pool.submit(images.list_family, ctx.aws, ctx.name)
        held_lock = pool.submit(lock.holder, ctx)
        switchover, write_freeze = pool.submit(transfer.load, ctx), pool.submit(freeze.load, ctx)
        data = pool.submit(data_storage, ctx)
        observed = FleetObservation(
            fleet_state=fleet.result(),
            standalone=_standalone(fleet.result(), tagged.result()),
            missing_balancer=_missing_balancer(ctx, fleet.result(), balancer.result()),
            images={image.id: image for image in family.result()},
            lock=(record := held_lock.result()),
            lock_is_stale=record is not None and lock.is_stale(ctx, record),
            switchover=switchover.result(),
            freeze=write_freeze.result(),
        )
        candidate = pool.submit(_candidate_schema, ctx, observed)
        observed = _complete(ctx, observed, balancer.result())
        address = wait.load_balancer_url(ctx, found) if (found := balancer.result()) else ""
        entries = history.load(ctx, observed.images)
        failed = tuple(entry for entry in entries if entry.get("result") != "promoted")[-PROMOTIONS_SHOWN:]
        assessment = status_plan.assess(ctx.recipe, observed)
        return FleetStatus(observed, assessment, address, failed, data.result(), candidate.result())


def _standalone(fleet_state: FleetState, tagged: Sequence[Instance]) -> tuple[Instance, ...]:
    """Return the instances without a group; those that a switchover launches beside a group do not count."""
    return () if fleet_state.group else tuple(tagged)


def _missing_balancer(ctx: Context, fleet_state: FleetState, balancer: LoadBalancer | None) -> str:
    expected = ctx.recipe.fleet.load_balancer and fleet_state.group is not None
    return ctx.names.load_balancer if expected and balancer is None else ""


def _complete(ctx: Context, observed: FleetObservation, balancer: LoadBalancer | None) -> FleetObservation:
    """Add what needs the first reads: a request to the service, foreign images, instances that do not run, and activities."""
    group, fleet_state = observed.fleet_state.group, observed.fleet_state
    probe = _probe(ctx, observed, balancer)
    pointer = {fleet_state.pointer.ami} if fleet_state.pointer else set()
    unknown = {ami for ami in {*running_images(fleet_state), *pointer} if ami.startswith("ami-")} - set(observed.images)
    foreign = [image for ami in sorted(unknown) if (image := images.get(ctx.aws, ami)) is not None]
    members = [m for m in group.members if m.state not in ("pending", "running")] if group else []
    stopped = [instance for m in members if (instance := instances.get(ctx.aws, m.id)) is not None]
    activity = ("", "")
    if group is not None and not (probe and probe.succeeded):
        latest = auto_scaling.list_activities(ctx.aws, group.name, limit=1)
        activity = (latest[0].started, latest[0].description) if latest else activity
    return replace(
        observed,
        probe=probe,
        images={**observed.images, **{image.id: image for image in foreign}},
        stopped=tuple(stopped),
        activity=activity,
    )


def _candidate_schema(ctx: Context, observed: FleetObservation) -> CandidateSchema | None:
    """Compare the migrations of the candidate with those of the running image, by their inventories: no instance is asked."""
    if not ctx.recipe.release.migrations:
        return None
    published = catalog.read_pointer(ctx.aws, ctx.candidate)
    candidate = observed.images.get(choose_candidate([*observed.images.values()], published, ctx.name).ami)
    running = observed.images.get(next(running_images(observed.fleet_state), ""))
    if candidate is None or running is None or candidate.id == running.id:
        return None
    with ThreadPoolExecutor() as pool:
        new, current = pool.map(partial(inventory.load, ctx), (candidate, running))
    if new is None or current is None:
        return None
    return CandidateSchema(candidate, release_plan.schema_change(ctx.recipe, new, current, applied=None))


def _probe(ctx: Context, observed: FleetObservation, balancer: LoadBalancer | None) -> ServiceProbe | None:
    """Request the service's health path as a user reaches it; again after an error, since the next may go to another target."""
    url = _service_url(ctx, observed, balancer)
    if not url:
        return None
    failure = ""
    for attempt in range(_REQUESTS):
        result = http.probe(url, timeout=_REQUEST_TIMEOUT)
        if result.ok or not result.answered:
            return ServiceProbe(failure or result.detail, int(result.ok), attempt, answered=result.answered)
        failure = result.detail
    return ServiceProbe(failure, 0, _REQUESTS)


def _service_url(ctx: Context, observed: FleetObservation, balancer: LoadBalancer | None) -> str:
    if balancer is not None:
        return f"{wait.load_balancer_url(ctx, balancer)}{ctx.recipe.app.health}"
    group = observed.fleet_state.group
    members = [m for m in group.members if m.state == "running"] if group else []
    addresses = [m.address for m in sorted(members, key=lambda m: not m.serving)]
    addresses += [i.address for i in observed.standalone if i.state == "running"]
    return health.health_url(ctx.recipe, addresses[0]) if addresses and addresses[0] else ""


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
