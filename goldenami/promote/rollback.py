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


def preflight(shop: Context, options: RollbackOptions) -> RollbackPreflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: There is nothing to go back to.
    """
    scene = describe.describe_fleet(shop)
    choice = _choose_target(shop, scene, options)
    found = promote.decide(shop, _build_request(shop, scene, choice, options), scene)
    return RollbackPreflight(found, choice, tuple(drift(scene)))


def rollback(shop: Context, found: RollbackPreflight, options: RollbackOptions) -> PromoteResult:
    """Go back to what was just found.

    A refresh that is under way is taken back first, also one whose promotion has died.

    Raises:
        GateError: The preflight refuses, or the image to go back to is not well either.
        BusyError: Somebody else is changing the fleet.
    """
    going = found.preflight
    if _end_refresh(shop, going.scene):
        scene = describe.describe_fleet(shop)
        going = promote.decide(shop, _build_request(shop, scene, found.choice, options), scene)
    return promote.run(shop, going, options.why or f"rollback ({found.choice.reason})")


def _end_refresh(shop: Context, scene: FleetState) -> bool:
    """Take a refresh back that is still under way, and wait until the fleet is as it was before it; whether there was one."""
    if scene.active is None or scene.group is None or scene.template is None or scene.group.number is None:
        return False
    with (
        runs.record_run(shop, "rollback", refresh=scene.active.id) as run,
        lock.acquire(shop, run.id, f"rollback of the refresh {scene.active.id}") as claim,
        shop.progress.phase(f"taking the instance refresh {scene.active.id} back"),
    ):
        restore_group(shop, claim, scene.group.name, scene.template.id, scene.group.number)
    return True


def _choose_target(shop: Context, scene: FleetState, options: RollbackOptions) -> RollbackTarget:
    known = {image.id: image for image in images.list_family(shop.aws, shop.name)}
    if options.ami or options.to:
        image = catalog.resolve_version(shop, options.to) if options.to else known.get(options.ami)
        if image is None:
            raise UsageError(f"there is no AMI {options.ami} of {shop.name}", next="./invoke images")
        return RollbackTarget(image, "as asked for")
    # A promotion that carried rows and died: what production names is what was before it.
    if scene.pointer is not None and scene.pointer.ami in known and transfer.load(shop) is not None:
        return RollbackTarget(known[scene.pointer.ami], "a promotion was left half-way")
    found = choose_target(scene, known)
    if found is None:
        raise UsageError(
            f"{shop.names.production} names no earlier image that is still there and verified",
            next="./invoke images, then ./invoke rollback --to v1.0",
        )
    return found


def _build_request(
    shop: Context, scene: FleetState, choice: RollbackTarget, options: RollbackOptions
) -> RolloutRequest:
    """A promotion of the earlier image, all at once: what is known to be good needs no canary."""
    image: Image = choice.image
    versions = scene.template.versions.values() if scene.template else ()
    # The version that it ran as before, with the instance type of then; made anew only where that is gone.
    former = max((v for v in versions if v.image == image.id), key=lambda v: v.number, default=None)
    fresh = images.get(shop.aws, image.id) or image
    return RolloutRequest(
        ami=image.id,
        image=replace(fresh),
        overrides=dict(former.data) if former else launch_template_plan.version_overrides(shop.recipe, image),
        canary=100,
        watch=options.watch if options.watch is not None else 0,
        warmup=shop.recipe.fleet.warmup,
        unverified=False,
        alarms=shop.recipe.promote.alarms,
        carried=shop.recipe.database.on_instance,
        home=shop.recipe.database.mode,
    )
