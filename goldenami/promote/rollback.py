"""Roll back to the previous verified image, by the same path as a promotion, whatever the state of the fleet."""

from __future__ import annotations

from goldenami.aws import images
from goldenami.context import Context
from goldenami.database import transfer
from goldenami.errors import UsageError
from goldenami.images import catalog
from goldenami.infra import describe, launch_template_plan
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.promote.model import PromoteResult, RollbackOptions, RollbackPreflight
from goldenami.promote.rollback_plan import RollbackTarget, choose_target, drift, missing_images, running_images
from goldenami.rollout.instance_refresh import restore_group
from goldenami.rollout.request_model import RolloutRequest
from goldenami.state import lock, runs


def preflight(ctx: Context, options: RollbackOptions) -> RollbackPreflight:
    """Read the fleet and plan the rollback. Changes nothing.

    Raises:
        UsageError: There is no image to roll back to.
    """
    fleet_state = describe.describe_fleet(ctx)
    target = _choose_target(ctx, fleet_state, options)
    promotion = promote.decide(ctx, build_request(ctx, fleet_state, target.image, options), fleet_state)
    missing = missing_images(fleet_state, _existing_images(ctx, fleet_state))
    return RollbackPreflight(promote.compare_contents(ctx, promotion), target, (*missing, *drift(fleet_state)))


def _existing_images(ctx: Context, fleet_state: FleetState) -> list[str]:
    """Return those of the released and running images that exist."""
    pointer = [fleet_state.pointer.ami] if fleet_state.pointer else []
    return [ami for ami in {*pointer, *running_images(fleet_state)} if images.get(ctx.aws, ami) is not None]


def rollback(ctx: Context, preflight: RollbackPreflight, options: RollbackOptions) -> PromoteResult:
    """Roll back to the preflight's target, after rolling back an instance refresh in progress.

    Raises:
        GateError: The preflight blocks it, or the target failed the health gate, too.
        BusyError: Another operation holds the fleet's lock.
    """
    promotion = preflight.preflight
    if _end_refresh(ctx, promotion.fleet_state):
        fleet_state = describe.describe_fleet(ctx)
        request = build_request(ctx, fleet_state, preflight.target.image, options)
        promotion = promote.decide(ctx, request, fleet_state)
    return promote.run(ctx, promotion, options.why or f"rollback ({preflight.target.reason})")


def _end_refresh(ctx: Context, fleet_state: FleetState) -> bool:
    """Roll back an instance refresh in progress and wait until the group is restored; return True if there was one."""
    refresh, group, template = fleet_state.active_refresh, fleet_state.group, fleet_state.template
    if refresh is None or group is None or template is None or group.number is None:
        return False
    with (
        runs.record_run(ctx, "rollback", refresh=refresh.id) as run,
        lock.acquire(ctx, run.id, f"rollback of the instance refresh {refresh.id}") as held_lock,
        ctx.progress.phase(f"rolling back the instance refresh {refresh.id}"),
    ):
        restore_group(ctx, held_lock, group.name, template.id, group.number)
    return True


def _choose_target(ctx: Context, fleet_state: FleetState, options: RollbackOptions) -> RollbackTarget:
    known = {image.id: image for image in images.list_family(ctx.aws, ctx.name)}
    if options.ami or options.to:
        image = catalog.resolve_version(ctx, options.to) if options.to else known.get(options.ami)
        if image is None:
            raise UsageError(f"{options.ami} is not an AMI of {ctx.name}", next="./invoke images")
        return RollbackTarget(image, "as requested")
    # During an interrupted switchover, the production parameter is still the image from before it.
    pointer = fleet_state.pointer
    if pointer is not None and pointer.ami in known and transfer.load(ctx) is not None:
        return RollbackTarget(known[pointer.ami], "a promotion was interrupted")
    target = choose_target(fleet_state, known)
    if target is None:
        raise UsageError(
            f"there is no earlier version: {ctx.names.production} names no other image that still exists and is verified",
            state="No changes were made.",
            next="./invoke bake, then ./invoke promote --candidate",
        )
    return target


def build_request(ctx: Context, fleet_state: FleetState, image: Image, options: RollbackOptions) -> RolloutRequest:
    """Return a request for the earlier image, all at once: it is known to be good and needs no canary."""
    versions = fleet_state.template.versions.values() if fleet_state.template else ()
    # Its own earlier version, with that version's instance type; a new one only if it was deleted.
    previous = max((v for v in versions if v.image == image.id), key=lambda v: v.number, default=None)
    # An instance refresh monitors the new instances for their warm-up; a single instance is replaced without one.
    default_watch = ctx.recipe.fleet.instance_warmup if ctx.recipe.database.on_instance else 0
    return RolloutRequest(
        ami=image.id,
        image=images.get(ctx.aws, image.id) or image,
        overrides=dict(previous.data) if previous else launch_template_plan.version_overrides(ctx.recipe, image),
        canary=100,
        watch=default_watch if options.watch is None else options.watch,
        schema_newer=options.schema_newer,
        rehearse=options.rehearse and ctx.recipe.release.rehearsal,
        warmup=ctx.recipe.fleet.instance_warmup,
        alarms=ctx.recipe.promote.alarms,
        transfers_data=ctx.recipe.database.on_instance,
        storage_mode=ctx.recipe.database.mode,
    )
