"""Create or update the resources of the fleet, as the recipe describes them."""

from __future__ import annotations

from goldenami.aws import auto_scaling as aws_auto_scaling, images, launch_templates, load_balancers, parameters
from goldenami.context import Context
from goldenami.database import agent, freeze, guard, volume
from goldenami.errors import UsageError
from goldenami.fleet.model import FleetResult
from goldenami.images.candidate_plan import newest_good
from goldenami.images.catalog import read_pointer, resolve_candidate
from goldenami.infra import auto_scaling as infra_auto_scaling, describe, load_balancer, network, role, wait
from goldenami.model.fleet import REPLACING_PROCESSES
from goldenami.model.image import Image
from goldenami.promote import history, promote, request, rollback
from goldenami.promote.model import RollbackOptions
from goldenami.state import lock, runs
from goldenami.state.runs import Run


def create(ctx: Context, ami: str = "") -> FleetResult:
    """Create missing resources of the fleet, update those that differ, and wait until the fleet is in service.

    Without a production parameter, the image is released once the fleet serves it. An existing fleet keeps its image.

    Args:
        ami: AMI of a new fleet. Default: the released image, otherwise the candidate.

    Raises:
        UsageError: There is no image to launch.
        GateError: The fleet does not become healthy.
        BusyError: Another process holds the fleet lock.
    """
    image = resolve_first_image(ctx, ami)
    request.check_storage_mode(ctx, image)
    with runs.record_run(ctx, "fleet", ami=image.id) as run, lock.acquire(ctx, run.id, "fleet.create") as held_lock:
        freeze.end_stale_freeze(ctx)
        ensure_resources(ctx, run, image)
        with ctx.progress.phase("waiting for instances"):
            fleet_state = wait.wait_until_serving(ctx, held_lock)
        assert fleet_state.group is not None
        assert fleet_state.template is not None
        number = fleet_state.group.number or fleet_state.template.default
        image = images.get(ctx.aws, fleet_state.template.versions[number].image) or image
        pointer = fleet_state.pointer
        if pointer is None or images.get(ctx.aws, pointer.ami) is None:
            held_lock.verify_held()
            why = f"{pointer.ami} does not exist any more" if pointer else "first image of the fleet"
            history.commit(ctx, run.id, fleet_state, number, image, why)
    balancer = load_balancers.get(ctx.aws, ctx.names.load_balancer) if ctx.recipe.fleet.load_balancer else None
    address = wait.load_balancer_url(ctx, balancer) if balancer else wait.instance_url(ctx, fleet_state.group)
    return FleetResult(fleet_state, fleet_state.group, address, image, run.id)


def ensure_resources(ctx: Context, run: Run, image: Image, *, empty: bool = False) -> None:
    """Create or update every resource of the fleet; a new group launches this image, and without instances if `empty`."""
    role.ensure_parameters(ctx)
    if ctx.recipe.database.on_instance:
        agent.ensure_backup_bucket(ctx)
    with ctx.progress.phase("creating network, role and load balancer"):
        fleet_network = network.find_network(ctx)
        role.ensure_role(ctx)
        security_group, entry = network.ensure_security_groups(ctx, fleet_network)
        target_group = ""
        if ctx.recipe.fleet.load_balancer:
            target_group = load_balancer.ensure(ctx, fleet_network, entry)
        if ctx.recipe.database.on_volume:
            volume.ensure_volume(ctx, fleet_network, run.id)
    with ctx.progress.phase("creating launch template and Auto Scaling group"):
        infra_auto_scaling.ensure_launch_template(ctx, image, security_group)
        if aws_auto_scaling.get(ctx.aws, ctx.names.group) is None:  # it launches the template's default version
            template = launch_templates.get(ctx.aws, ctx.names.launch_template)
            assert template is not None
            if (version := launch_version(ctx, run, image)) != template.default:
                launch_templates.set_default(ctx.aws, template.id, version)
        infra_auto_scaling.ensure_group(ctx, fleet_network, target_group, instances_with_data(ctx), empty=empty)


def launch_version(ctx: Context, run: Run, image: Image) -> int:
    """Return the launch template version for an image; the current one if it has this image, otherwise another or a new one."""
    fleet_state = describe.describe_fleet(ctx)
    source = fleet_state.source_version
    if source is not None and source.image == image.id:
        return source.number
    target = rollback.build_request(ctx, fleet_state, image, RollbackOptions())
    return promote.ensure_version(ctx, run, promote.decide(ctx, target, fleet_state), image)


def released_image(ctx: Context, production: str) -> tuple[Image | None, str]:
    """Return the image in production, or the newest good one if it does not exist any more; and why it is another one."""
    image = images.get(ctx.aws, production) if production else None
    if image is not None and image.state == "available":
        return image, ""
    newest = newest_good(images.list_family(ctx.aws, ctx.name), ctx.name, ctx.recipe.database.mode)
    what = (
        f"{production}, which is in production, is not available any more" if production else "nothing is in production"
    )
    return newest, f"{what}; the newest good image is used"


def resolve_first_image(ctx: Context, ami: str) -> Image:
    """Return the image to launch a new fleet from.

    Raises:
        UsageError: There is no image, it has not passed its gates, or another image is released.
    """
    production = parameters.get(ctx.aws, ctx.names.production)
    released, note = released_image(ctx, production.value) if production is not None else (None, "")
    if ami and production is not None and production.value != ami and not note:
        raise UsageError(
            f"Cannot launch the fleet from {ami}: {production.value} is in production",
            state="No changes were made.",
            next=f"./invoke fleet.create && ./invoke promote --ami {ami}",
        )
    if note and not ami:
        ctx.progress.info(note)
    if production is None and not ami:
        ami = _running_image(ctx)
    if production is None and not ami and read_pointer(ctx.aws, ctx.candidate):
        ami = resolve_candidate(ctx)
    ami = ami or (released.id if released else "")
    if not ami:
        raise UsageError("Cannot launch the fleet: there is no image", next="./invoke bake")
    image = images.get(ctx.aws, ami)
    if image is None or image.state != "available":
        raise UsageError(f"Cannot launch the fleet: {ami} is not an available AMI", next="./invoke images")
    if image.retired:
        raise UsageError(
            f"{image.name} ({image.id}) was retired ({image.retired})",
            next="./invoke fleet.create --ami …, with a verified image",
        )
    if not image.verified:
        raise UsageError(
            f"{image.name} ({image.id}) has not passed its gates", next=f"./invoke verify --ami {image.id}"
        )
    return image


def _running_image(ctx: Context) -> str:
    """Return the image that an existing group launches; empty if there is no group."""
    fleet_state = describe.describe_fleet(ctx)
    source = fleet_state.source_version if fleet_state.group else None
    return source.image if source else ""


def instances_with_data(ctx: Context) -> list[str]:
    """Return the instances that may have a database on their root volume although the recipe stores it elsewhere."""
    database = ctx.recipe.database
    group = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    if (
        group is None
        or (database.on_instance and not database.on_volume)
        or not set(REPLACING_PROCESSES) & set(group.suspended)
    ):
        return []
    inspected = guard.inspect_instances(ctx, [m.id for m in group.members])
    return [i.instance for i in inspected if (i.has_data and not i.volume) or not i.reachable]
