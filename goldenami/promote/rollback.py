"""Rollback: to the previous known-good image by the same path as a promotion, whatever the parts say at the moment."""

from __future__ import annotations

from dataclasses import replace

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
from goldenami.promote.rollback_plan import RollbackTarget, choose_target, drift
from goldenami.rollout.instance_refresh import restore_group
from goldenami.rollout.request_model import RolloutRequest
from goldenami.state import lock, runs


def preflight(ctx: Context, options: RollbackOptions) -> RollbackPreflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: There is nothing to go back to.
    """
    fleet_state = describe.describe_fleet(ctx)
    choice = _choose_target(ctx, fleet_state, options)
    found = promote.decide(ctx, _build_request(ctx, fleet_state, choice, options), fleet_state)
    return RollbackPreflight(found, choice, tuple(drift(fleet_state)))


def rollback(ctx: Context, found: RollbackPreflight, options: RollbackOptions) -> PromoteResult:
    """Go back to what was just found.

    A refresh that is under way is taken back first, also one whose promotion has died.

    Raises:
        GateError: The preflight refuses, or the image to go back to is not well either.
        BusyError: Somebody else is changing the fleet.
    """
    going = found.preflight
    if _end_refresh(ctx, going.fleet_state):
        fleet_state = describe.describe_fleet(ctx)
        going = promote.decide(ctx, _build_request(ctx, fleet_state, found.target, options), fleet_state)
    return promote.run(ctx, going, options.why or f"rollback ({found.target.reason})")


def _end_refresh(ctx: Context, fleet_state: FleetState) -> bool:
    """Take a refresh back that is still under way, and wait until the fleet is as it was before it; whether there was one."""
    if (
        fleet_state.active_refresh is None
        or fleet_state.group is None
        or fleet_state.template is None
        or fleet_state.group.number is None
    ):
        return False
    with (
        runs.record_run(ctx, "rollback", refresh=fleet_state.active_refresh.id) as run,
        lock.acquire(ctx, run.id, f"rollback of the refresh {fleet_state.active_refresh.id}") as held_lock,
        ctx.progress.phase(f"taking the instance refresh {fleet_state.active_refresh.id} back"),
    ):
        restore_group(ctx, held_lock, fleet_state.group.name, fleet_state.template.id, fleet_state.group.number)
    return True


def _choose_target(ctx: Context, fleet_state: FleetState, options: RollbackOptions) -> RollbackTarget:
    known = {image.id: image for image in images.list_family(ctx.aws, ctx.name)}
    if options.ami or options.to:
        image = catalog.resolve_version(ctx, options.to) if options.to else known.get(options.ami)
        if image is None:
            raise UsageError(f"there is no AMI {options.ami} of {ctx.name}", next="./invoke images")
        return RollbackTarget(image, "as asked for")
    # A promotion that carried rows and died: what production names is what was before it.
    if fleet_state.pointer is not None and fleet_state.pointer.ami in known and transfer.load(ctx) is not None:
        return RollbackTarget(known[fleet_state.pointer.ami], "a promotion was left half-way")
    found = choose_target(fleet_state, known)
    if found is None:
        raise UsageError(
            f"{ctx.names.production} names no earlier image that is still there and verified",
            next="./invoke images, then ./invoke rollback --to v1.0",
        )
    return found


def _build_request(
    ctx: Context, fleet_state: FleetState, choice: RollbackTarget, options: RollbackOptions
) -> RolloutRequest:
    """A promotion of the earlier image, all at once: what is known to be good needs no canary."""
    image: Image = choice.image
    versions = fleet_state.template.versions.values() if fleet_state.template else ()
    # The version that it ran as before, with the instance type of then; made anew only where that is gone.
    former = max((v for v in versions if v.image == image.id), key=lambda v: v.number, default=None)
    fresh = images.get(ctx.aws, image.id) or image
    return RolloutRequest(
        ami=image.id,
        image=replace(fresh),
        overrides=dict(former.data) if former else launch_template_plan.version_overrides(ctx.recipe, image),
        canary=100,
        watch=options.watch if options.watch is not None else 0,
        warmup=ctx.recipe.fleet.instance_warmup,
        unverified=False,
        alarms=ctx.recipe.promote.alarms,
        transfers_data=ctx.recipe.database.on_instance,
        storage_mode=ctx.recipe.database.mode,
    )
