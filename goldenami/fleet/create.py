"""`invoke fleet.create|show|destroy`: everything that serves users, from the recipe; found again by its names."""

from __future__ import annotations

from goldenami.aws import auto_scaling as aws_auto_scaling
from goldenami.aws import images, load_balancers, parameters
from goldenami.context import Context
from goldenami.database import agent, freeze, guard, volume
from goldenami.errors import UsageError
from goldenami.fleet.model import FleetResult
from goldenami.infra import auto_scaling as infra_auto_scaling
from goldenami.infra import load_balancer, network, role, wait
from goldenami.model.fleet import REPLACING_PROCESSES
from goldenami.model.image import Image
from goldenami.promote import history, request
from goldenami.state import lock, runs


def create(ctx: Context, ami: str = "") -> FleetResult:
    """Bring the fleet about: make what is missing, correct what differs, wait until it serves.

    Without a production parameter the first image becomes production once the fleet serves it. A fleet that exists
    keeps the image that it runs: another one is for `promote`.

    Args:
        shop: Where.
        ami: What to launch a new fleet from; production's image, else the candidate, when empty.

    Raises:
        UsageError: There is no image to launch it from.
        GateError: The new fleet does not become healthy.
        BusyError: Somebody else is changing the fleet.
    """
    image = resolve_first_image(ctx, ami)
    request.check_storage_mode(ctx, image)
    with runs.record_run(ctx, "fleet", ami=image.id) as run, lock.acquire(ctx, run.id, "fleet.create") as held_lock:
        freeze.end_stale_freeze(ctx)
        role.ensure_parameters(ctx)
        if ctx.recipe.database.on_instance:
            agent.ensure_backup_bucket(ctx)
        with ctx.progress.phase("network, role and balancer"):
            place = network.find_network(ctx)
            role.ensure_role(ctx)
            security, entry = network.ensure_security_groups(ctx, place)
            target_group = load_balancer.ensure(ctx, place, entry) if ctx.recipe.fleet.load_balancer else ""
            if ctx.recipe.database.on_volume:
                volume.ensure_volume(ctx, place, run.id)
        with ctx.progress.phase("launch template and group"):
            infra_auto_scaling.ensure_launch_template(ctx, image, security)
            infra_auto_scaling.ensure_group(ctx, place, target_group, instances_with_data(ctx))
        with ctx.progress.phase("instances"):
            fleet_state = wait.wait_until_serving(ctx, held_lock)
        assert fleet_state.group is not None
        assert fleet_state.template is not None
        if fleet_state.pointer is None:
            held_lock.verify_held()
            number = fleet_state.group.number or fleet_state.template.default
            image = images.get(ctx.aws, fleet_state.template.versions[number].image) or image
            history.commit(ctx, run.id, fleet_state, number, image, "the first fleet")
    found = load_balancers.get(ctx.aws, ctx.names.load_balancer) if ctx.recipe.fleet.load_balancer else None
    where = wait.load_balancer_url(ctx, found) if found else wait.instance_url(ctx, fleet_state.group)
    return FleetResult(fleet_state, fleet_state.group, where, image, run.id)


def resolve_first_image(ctx: Context, ami: str) -> Image:
    """The image to launch a new fleet from.

    Raises:
        UsageError: There is none, it has not passed its gates, or production is another one.
    """
    production = parameters.get(ctx.aws, ctx.names.production)
    if ami and production is not None and production.value != ami:
        raise UsageError(
            f"{production.value} is in production; a new fleet launches that",
            state="Nothing was changed.",
            next=f"./invoke fleet.create && ./invoke promote --ami {ami}",
        )
    candidate = parameters.get(ctx.aws, ctx.candidate)
    wanted = ami or (production.value if production else "") or (candidate.value if candidate else "")
    if not wanted:
        raise UsageError("there is no image to launch the fleet from", next="./invoke bake")
    image = images.get(ctx.aws, wanted)
    if image is None or image.state != "available":
        raise UsageError(f"{wanted} is not an AMI to launch from", next="./invoke images")
    if image.retired:
        raise UsageError(
            f"{image.name} ({image.id}) was retired ({image.retired})",
            next="./invoke fleet.create --ami …, of a good one",
        )
    if not image.verified:
        raise UsageError(
            f"{image.name} ({image.id}) has not passed its gates", next=f"./invoke verify --ami {image.id}"
        )
    return image


def instances_with_data(ctx: Context) -> list[str]:
    """The instances that may hold rows on their own disk although the recipe has data elsewhere: they are yet to be moved."""
    database = ctx.recipe.database
    group = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    if (
        group is None
        or (database.on_instance and not database.on_volume)
        or not set(REPLACING_PROCESSES) & set(group.suspended)
    ):
        return []
    found = guard.inspect_instances(ctx, [m.id for m in group.members])
    return [one.instance for one in found if (one.has_data and not one.volume) or not one.reachable]
