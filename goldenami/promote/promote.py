"""Promote: preflight → template version → canary → the whole fleet → default version → the pointer; or back, if it is bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from goldenami.aws import images, quotas
from goldenami.aws import launch_templates as templates
from goldenami.context import Shop
from goldenami.database import guard
from goldenami.database import recovery as settling
from goldenami.database import transfer as carrying
from goldenami.errors import GateError, GoldenError
from goldenami.fleet import create as fleet
from goldenami.images import catalog as choosing
from goldenami.images.catalog import Options
from goldenami.infra import describe as scenery
from goldenami.infra import launch_template_plan as data
from goldenami.infra import wait as serving
from goldenami.model.fleet import Scene
from goldenami.model.image import Image
from goldenami.promote import apply as renewal
from goldenami.promote import history as ledger
from goldenami.promote import promotion_report
from goldenami.promote.plan import Plan, Preflight, plan
from goldenami.rollout import traffic_shift as trial
from goldenami.rollout.request_model import Wish
from goldenami.rollout.room import Room
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state import lock as claims
from goldenami.state import logbook
from goldenami.state.lock import Held
from goldenami.state.runs import Run


@dataclass(frozen=True)
class Result:
    """How a promotion ended well: what is in production now."""

    preflight: Preflight
    image: Image
    version: int
    run: Run | None
    timeline: Timeline
    refresh: str = ""


def preflight(shop: Shop, options: Options) -> Preflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: The command line does not name an image.
    """
    return decide(shop, choosing.wish(shop, options), scenery.read(shop))


def decide(shop: Shop, wanted: Wish, scene: Scene) -> Preflight:
    """Plan for a wish, with the fleet as it was read just now."""
    source = scene.source
    running = images.get(shop.aws, source.image) if source and source.image.startswith("ami-") else None
    room = quotas.room(shop.aws, shop.recipe.instance.type) if scene.group else None
    if running is not None:
        wanted = replace(wanted, former=running.home, written=running.system)
    return _decided(shop, wanted, scene, running, room)


def _decided(shop: Shop, wanted: Wish, scene: Scene, running: Image | None, room: Room | None) -> Preflight:
    decided = plan(wanted, scene, room)
    if decided.refusals and settling.left(shop):
        # What a handover looks like half-way is no reason against going on with it; once it is settled, all is read again.
        told = "a handover or a restore was left half-way: it is seen to its end before anything else"
        decided = replace(decided, refusals=(), notes=(*decided.notes, told))
    return Preflight(wanted, scene, decided, running, room)


def promote(shop: Shop, options: Options) -> Result:
    """Carry an image to the fleet.

    Raises:
        UsageError: The command line does not name an image.
        GateError: The preflight refuses, or the image is bad: then the fleet is back on what it ran before.
        BusyError: Somebody else is changing the fleet.
        AwsError: AWS refused.
    """
    return carry(shop, preflight(shop, options), options.why or "promote")


def carry(
    shop: Shop,
    found: Preflight,
    why: str,
    guarded: Callable[[Shop, Sequence[str], Image], None] = guard.refuse,
) -> Result:
    """The same with a preflight that was just made: promotions, rollbacks and migrations go this way.

    Args:
        shop: Where.
        found: The preflight.
        why: A word for the ledger.
        guarded: What looks at the instances that are to be replaced, and stops here where they must not be.
    """
    refuse(found.plan)
    wanted = found.wish
    left = settling.left(shop)
    image = wanted.image
    assert image is not None
    # With a claim left behind, a promotion died in its commit: what may be missing is made good, and the claim given back.
    if found.plan.unchanged and not left and claims.holder(shop) is None:
        assert found.plan.version is not None
        return Result(found, image, found.plan.version, None, Timeline())
    timeline = Timeline()
    what = f"{why} {image.name} ({image.id})"
    closing = partial(promotion_report.write, found, timeline)
    try:
        with (
            logbook.opened(shop, "promotion", ended=closing, ami=image.id, why=why) as run,
            claims.held(shop, run.id, what) as claim,
        ):
            timeline.add(Event(shop.clock.now().isoformat(timespec="seconds"), "began", what))
            settled = settling.settle(shop)
            # What was true of the fleet before the claim was ours may not be any more.
            now = scenery.read(shop)
            found = decide(shop, wanted, now) if settled else _decided(shop, wanted, now, found.running, found.room)
            refuse(found.plan)
            if found.plan.roll is not None and found.scene.group is not None:
                guarded(shop, [m.id for m in found.scene.group.members], image)
            shop.progress.say(what)
            result = _carry(shop, run, claim, found, image, timeline, why)
            run.record(refresh=result.refresh, version=result.version)
            return result
    except KeyboardInterrupt:
        if wanted.carried and carrying.find(shop) is not None:
            raise _interrupted_handover(wanted, image) from None
        if timeline.first("started") and not wanted.carried:
            raise _interrupted(image) from None
        raise


def _interrupted_handover(wanted: Wish, image: Image) -> GoldenError:
    again = f"./invoke promote --ami {image.id} goes on; ./invoke rollback carries today's rows back"
    if wanted.move is not None:
        again = f"./invoke db.migrate --to {wanted.move.to} goes on"
    return GoldenError(
        "interrupted while the new instance was watched",
        state="It serves, with every row; the one before it stands beside it with its writes stopped.",
        next=again,
        exit_code=130,
    )


def _interrupted(image: Image) -> GoldenError:
    return GoldenError(
        "interrupted; nobody watches the new instances now, and AWS goes on with what was begun",
        state="The production parameter and the template's default version are untouched.",
        next=f"./invoke promote --ami {image.id} watches it again; ./invoke rollback takes it back",
        exit_code=130,
    )


def _carry(shop: Shop, run: Run, claim: Held, found: Preflight, image: Image, timeline: Timeline, why: str) -> Result:
    scene, decided = found.scene, found.plan
    version = ensure_version(shop, run, found, image)
    if scene.template is None:
        scene = scenery.read(shop)
    refresh = ""
    if scene.group is not None and decided.roll is not None:
        refresh = renewal.renew(shop, run, claim, found, version, timeline, why)
    elif scene.group is not None:
        with shop.progress.phase("the fleet runs it already"):
            serving.wait(shop, claim)
    trial.end(shop, claim)
    claim.confirm()
    with shop.progress.phase("commit: default version, then the parameter"):
        ledger.commit(shop, run.id, scene, version, image, why, refresh)
    now = shop.clock.now().isoformat(timespec="seconds")
    timeline.add(Event(now, "committed", f"{shop.names.production} names {image.id}"))
    return Result(found, image, version, run, timeline, refresh)


def ensure_version(shop: Shop, run: Run, found: Preflight, image: Image) -> int:
    """The number of the template version for an image; it, or the whole template, is made when there is none."""
    if found.scene.template is None:
        fleet.ensure_template(shop, image)
        made = templates.get(shop.aws, shop.names.template)
        assert made is not None
        number = made.default
    else:
        number = found.plan.version or _make_version(shop, run, found.scene, found.wish, image)
    run.record(version=number)
    return number


def _make_version(shop: Shop, run: Run, scene: Scene, wanted: Wish, image: Image) -> int:
    template, source = scene.template, scene.source
    assert template is not None
    assert source is not None
    number = templates.add_version(
        shop.aws,
        template.id,
        source.number,
        wanted.overrides,
        f"{image.name} ({image.id}), run {run.id}",
        data.token(template.id, source.number, wanted.overrides, template.latest),
    )
    shop.progress.say(f"{template.name} version {number}: version {source.number} with {image.id}")
    return number


def refuse(decided: Plan) -> None:
    """Stop here when the preflight refuses.

    Raises:
        GateError: With every reason.
    """
    if decided.refusals:
        raise GateError("; ".join(decided.refusals), state="Nothing was changed.", next="./invoke status")
