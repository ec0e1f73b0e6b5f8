"""Rollback: to the previous known-good image by the same path as a promotion, whatever the parts say at the moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goldenami.aws import images
from goldenami.context import Shop
from goldenami.database import transfer as carrying
from goldenami.errors import UsageError
from goldenami.images import catalog as choosing
from goldenami.infra import describe as scenery
from goldenami.infra import launch_template_plan as data
from goldenami.model.fleet import Scene
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.promote.plan import Preflight
from goldenami.promote.promote import Result
from goldenami.promote.rollback_plan import Choice, choose, disagreements
from goldenami.rollout.instance_refresh import restore
from goldenami.rollout.request_model import Wish
from goldenami.state import lock as claims
from goldenami.state import logbook


@dataclass(frozen=True)
class Options:
    """What the command line asks for: a version to go back to (the previous good one when empty), and why."""

    to: str = ""
    ami: str = ""
    watch: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Found:
    """What a rollback would do; nothing was changed.

    Attributes:
        choice: Where to, and why there.
        disagreements: What the pointer, the template and the group say differently.
    """

    preflight: Preflight
    choice: Choice
    disagreements: tuple[str, ...]


def look(shop: Shop, options: Options) -> Found:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: There is nothing to go back to.
    """
    scene = scenery.read(shop)
    choice = _choice(shop, scene, options)
    found = promote.decide(shop, _wish(shop, scene, choice, options), scene)
    return Found(found, choice, tuple(disagreements(scene)))


def rollback(shop: Shop, found: Found, options: Options) -> Result:
    """Go back to what was just found.

    A refresh that is under way is taken back first, also one whose promotion has died.

    Raises:
        GateError: The preflight refuses, or the image to go back to is not well either.
        BusyError: Somebody else is changing the fleet.
    """
    going = found.preflight
    if _end_refresh(shop, going.scene):
        scene = scenery.read(shop)
        going = promote.decide(shop, _wish(shop, scene, found.choice, options), scene)
    return promote.carry(shop, going, options.why or f"rollback ({found.choice.reason})")


def _end_refresh(shop: Shop, scene: Scene) -> bool:
    """Take a refresh back that is still under way, and wait until the fleet is as it was before it; whether there was one."""
    if scene.active is None or scene.group is None or scene.template is None or scene.group.number is None:
        return False
    with (
        logbook.opened(shop, "rollback", refresh=scene.active.id) as run,
        claims.held(shop, run.id, f"rollback of the refresh {scene.active.id}") as claim,
        shop.progress.phase(f"taking the instance refresh {scene.active.id} back"),
    ):
        restore(shop, claim, scene.group.name, scene.template.id, scene.group.number)
    return True


def _choice(shop: Shop, scene: Scene, options: Options) -> Choice:
    known = {image.id: image for image in images.of_family(shop.aws, shop.name)}
    if options.ami or options.to:
        image = choosing.by_version(shop, options.to) if options.to else known.get(options.ami)
        if image is None:
            raise UsageError(f"there is no AMI {options.ami} of {shop.name}", next="./invoke images")
        return Choice(image, "as asked for")
    # A promotion that carried rows and died: what production names is what was before it.
    if scene.pointer is not None and scene.pointer.ami in known and carrying.find(shop) is not None:
        return Choice(known[scene.pointer.ami], "a promotion was left half-way")
    found = choose(scene, known)
    if found is None:
        raise UsageError(
            f"{shop.names.production} names no earlier image that is still there and verified",
            next="./invoke images, then ./invoke rollback --to v1.0",
        )
    return found


def _wish(shop: Shop, scene: Scene, choice: Choice, options: Options) -> Wish:
    """A promotion of the earlier image, all at once: what is known to be good needs no canary."""
    image: Image = choice.image
    versions = scene.template.versions.values() if scene.template else ()
    # The version that it ran as before, with the instance type of then; made anew only where that is gone.
    former = max((v for v in versions if v.image == image.id), key=lambda v: v.number, default=None)
    fresh = images.get(shop.aws, image.id) or image
    return Wish(
        ami=image.id,
        image=replace(fresh),
        overrides=dict(former.data) if former else data.overrides(shop.recipe, image),
        canary=100,
        watch=options.watch if options.watch is not None else 0,
        warmup=shop.recipe.fleet.warmup,
        unverified=False,
        alarms=shop.recipe.promote.alarms,
        carried=shop.recipe.database.on_instance,
        home=shop.recipe.database.mode,
    )
