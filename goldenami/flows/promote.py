"""Promote: preflight → template version → canary → the whole fleet → default version → the pointer; or back, if it is bad."""

from __future__ import annotations

import re
from dataclasses import dataclass

from goldenami.flows import claims, fleet, ledger, promotion_report, scenery
from goldenami.flows.claims import Held
from goldenami.flows.roll import Roll, restore
from goldenami.flows.shop import Shop
from goldenami.flows.watching import Watch
from goldenami.values import template as data
from goldenami.values.errors import GateError, GoldenError, UsageError
from goldenami.values.images import Image
from goldenami.values.promotion import Plan, Wish, plan
from goldenami.values.scene import Scene
from goldenami.values.timeline import Event, Timeline
from goldenami.values.versions import ami_name, parse
from goldenami.walls import runs
from goldenami.walls.aws import images, parameters, templates
from goldenami.walls.runs import Run


@dataclass(frozen=True)
class Options:
    """What the command line asks for: which image, and how carefully."""

    ami: str = ""
    version: str = ""
    candidate: bool = False
    canary: int | None = None
    watch: int | None = None
    unverified: bool = False
    why: str = ""


@dataclass(frozen=True)
class Preflight:
    """Everything that was read and decided; nothing was changed."""

    wish: Wish
    scene: Scene
    plan: Plan
    running: Image | None


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
    return decide(shop, wish(shop, options))


def decide(shop: Shop, wanted: Wish) -> Preflight:
    """Read the fleet and plan for a wish."""
    scene = scenery.read(shop)
    source = scene.source
    running = images.get(shop.aws, source.image) if source and source.image.startswith("ami-") else None
    return Preflight(wanted, scene, plan(wanted, scene), running)


def promote(shop: Shop, options: Options) -> Result:
    """Carry an image to the fleet.

    Raises:
        UsageError: The command line does not name an image.
        GateError: The preflight refuses, or the image is bad: then the fleet is back on what it ran before.
        BusyError: Somebody else is changing the fleet.
        AwsError: AWS refused.
    """
    return carry(shop, wish(shop, options), options.why or "promote")


def carry(shop: Shop, wanted: Wish, why: str, say: bool = True) -> Result:
    """The same for a wish that is made already: promotions and rollbacks both go this way."""
    found = decide(shop, wanted)
    refuse(found.plan)
    image = wanted.image
    assert image is not None
    # With a claim left behind, a promotion died in its commit: what may be missing is made good, and the claim given back.
    if found.plan.unchanged and claims.holder(shop) is None:
        assert found.plan.version is not None
        return Result(found, image, found.plan.version, None, Timeline())
    run = runs.new(shop.build, shop.clock.now())
    started = shop.clock.now().isoformat(timespec="seconds")
    run.record(state="promoting", kind="promotion", started=started, ami=image.id, why=why)
    shop.progress.log_to(run.folder / "promotion.log")
    with claims.held(shop, run.id, f"{why} {image.name} ({image.id})") as claim:
        found = decide(shop, wanted)  # what was true before the claim was ours may not be any more
        refuse(found.plan)
        timeline = Timeline()
        timeline.add(Event(started, "began", f"{why} {image.name} ({image.id})"))
        if say:
            shop.progress.say(f"{why}: {image.name} ({image.id})")
        try:
            result = _carry(shop, run, claim, found, image, timeline, why)
        except BaseException as error:
            reason = str(error) or type(error).__name__
            run.record(state="failed", error=reason)
            promotion_report.write(run, found, timeline, reason.partition("\n")[0])
            if isinstance(error, KeyboardInterrupt) and timeline.first("started"):
                raise _interrupted(image) from None
            raise
    run.record(state="finished", refresh=result.refresh, version=result.version)
    promotion_report.write(run, found, timeline, "")
    return result


def _interrupted(image: Image) -> GoldenError:
    return GoldenError(
        "interrupted; nobody watches the instance refresh now, and AWS goes on with it",
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
        refresh = _roll(shop, run, claim, found, version, image, timeline, why)
    elif scene.group is not None:
        with shop.progress.phase("the fleet runs it already"):
            fleet.wait_serving(shop, claim)
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


def _roll(
    shop: Shop, run: Run, claim: Held, found: Preflight, version: int, image: Image, timeline: Timeline, why: str
) -> str:
    scene, group, decided = found.scene, found.scene.group, found.plan
    assert group is not None
    assert decided.roll is not None
    assert scene.template is not None
    old = group.number
    began = shop.clock.now().isoformat(timespec="seconds")
    watch = Watch(shop, run, version, timeline, began=began, old=tuple(m.id for m in group.members))
    going = Roll(shop, claim, watch, timeline, group.name, scene.template.id, old, version, decided.roll, decided.adopt)
    if decided.adopt:
        shop.progress.say(f"going on with the instance refresh {decided.adopt} that was begun before")
    with shop.progress.phase(f"renewing {group.desired} instance(s) of {group.name}"):
        reason = going.forward()
    if not reason:
        return going.refresh
    now = shop.clock.now().isoformat(timespec="seconds")
    timeline.add(Event(now, "red", reason))
    shop.progress.say(f"RED: {reason}")
    going.back()
    kept = watch.keep_evidence()
    state = "The production parameter and the template's default version are untouched."
    if old is not None and old != version:
        with shop.progress.phase(f"back to version {old}"):
            restore(shop, claim, group.name, scene.template.id, old)
        now = shop.clock.now().isoformat(timespec="seconds")
        timeline.add(Event(now, "restored", f"the whole fleet serves version {old} again"))
        state = f"The fleet is back on version {old} and healthy. {state}"
    images.tag(shop.aws, [image.id], {ledger.ROLLED_BACK: f"{now} {reason}"[:255]})
    line = ledger.entry(shop, run.id, scene, image.id, version, going.refresh, f"{why}: {reason}", "rolled back")
    ledger.write(shop, line)
    raise GateError(
        f"{image.name} ({image.id}) was not well: {reason}",
        state=state,
        next=f"less {kept[0] if kept else run.folder / 'promotion.md'}",
    )


def refuse(decided: Plan) -> None:
    """Stop here when the preflight refuses.

    Raises:
        GateError: With every reason.
    """
    if decided.refusals:
        raise GateError("; ".join(decided.refusals), state="Nothing was changed.", next="./invoke status")


def wish(shop: Shop, options: Options) -> Wish:
    """What the command line asks for, with the recipe's own for what it leaves out.

    Raises:
        UsageError: It names no image, more than one, or one that is not there.
    """
    recipe = shop.recipe
    ami = find(shop, options)
    image = images.get(shop.aws, ami)
    if image is None:
        raise UsageError(f"there is no AMI {ami} in {shop.aws.region}", next="./invoke images")
    return Wish(
        ami=ami,
        image=image,
        overrides=data.overrides(recipe, image),
        canary=recipe.promote.canary if options.canary is None else options.canary,
        watch=recipe.promote.watch_seconds if options.watch is None else options.watch,
        warmup=recipe.fleet.warmup,
        unverified=options.unverified,
        alarms=recipe.promote.alarms,
    )


def find(shop: Shop, options: Options) -> str:
    """The id of the AMI that the command line means.

    Raises:
        UsageError: It names none, more than one, or one that is not there.
    """
    given = [bool(options.ami), bool(options.version), options.candidate]
    if sum(given) != 1:
        raise UsageError("name one image: --ami ami-…, --version v1.2 or --candidate", next="./invoke images")
    if options.ami:
        if not re.fullmatch(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})", options.ami):
            raise UsageError(f"'{options.ami}' is not an AMI id", next="./invoke images")
        return options.ami
    if options.version:
        return by_version(shop, options.version).id
    pointer = parameters.get(shop.aws, shop.candidate)
    if pointer is None:
        raise UsageError("there is no candidate", next="./invoke bake")
    return pointer.value


def by_version(shop: Shop, version: str) -> Image:
    """The golden AMI of a version.

    Raises:
        UsageError: There is none.
    """
    name = ami_name(shop.name, parse(version))
    found = [image for image in images.of_family(shop.aws, shop.name) if image.name == name]
    if not found:
        raise UsageError(f"there is no {name}", next="./invoke images")
    return found[0]
