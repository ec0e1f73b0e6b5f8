"""Promote: preflight → template version → canary → the whole fleet → default version → the pointer; or back, if it is bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from goldenami.aws import images, launch_templates, quotas
from goldenami.context import Context
from goldenami.database import guard, recovery, transfer
from goldenami.errors import GateError, GoldenError
from goldenami.images.model import PromoteOptions
from goldenami.infra import auto_scaling, describe, launch_template_plan, wait
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.model.resources import VcpuQuota
from goldenami.promote import apply, history, request
from goldenami.promote.model import PromoteResult
from goldenami.promote.plan import Plan, Preflight, plan
from goldenami.rollout import traffic_shift
from goldenami.rollout.request_model import RolloutRequest
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state import lock, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run


def preflight(shop: Context, options: PromoteOptions) -> Preflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: The command line does not name an image.
    """
    return decide(shop, request.build_request(shop, options), describe.describe_fleet(shop))


def decide(shop: Context, wanted: RolloutRequest, scene: FleetState) -> Preflight:
    """Plan for a wish, with the fleet as it was read just now."""
    source = scene.source
    running = images.get(shop.aws, source.image) if source and source.image.startswith("ami-") else None
    room = quotas.vcpu_quota(shop.aws, shop.recipe.instance.type) if scene.group else None
    if running is not None:
        wanted = replace(wanted, former=running.home, written=running.system)
    return _plan(shop, wanted, scene, running, room)


def _plan(
    shop: Context, wanted: RolloutRequest, scene: FleetState, running: Image | None, room: VcpuQuota | None
) -> Preflight:
    decided = plan(wanted, scene, room)
    if decided.refusals and recovery.has_unfinished(shop):
        # What a handover looks like half-way is no reason against going on with it; once it is settled, all is read again.
        told = "a handover or a restore was left half-way: it is seen to its end before anything else"
        decided = replace(decided, refusals=(), notes=(*decided.notes, told))
    return Preflight(wanted, scene, decided, running, room)


def promote(shop: Context, options: PromoteOptions) -> PromoteResult:
    """Carry an image to the fleet.

    Raises:
        UsageError: The command line does not name an image.
        GateError: The preflight refuses, or the image is bad: then the fleet is back on what it ran before.
        BusyError: Somebody else is changing the fleet.
        AwsError: AWS refused.
    """
    return run(shop, preflight(shop, options), options.why or "promote")


def run(
    shop: Context,
    found: Preflight,
    why: str,
    guarded: Callable[[Context, Sequence[str], Image], None] = guard.raise_if_data_would_be_lost,
) -> PromoteResult:
    """The same with a preflight that was just made: promotions, rollbacks and migrations go this way.

    Args:
        shop: Where.
        found: The preflight.
        why: A word for the ledger.
        guarded: What looks at the instances that are to be replaced, and stops here where they must not be.
    """
    raise_if_blocked(found.plan)
    wanted = found.wish
    left = recovery.has_unfinished(shop)
    image = wanted.image
    assert image is not None
    # With a claim left behind, a promotion died in its commit: what may be missing is made good, and the claim given back.
    if found.plan.unchanged and not left and lock.holder(shop) is None:
        assert found.plan.version is not None
        return PromoteResult(found, image, found.plan.version, None, Timeline())
    timeline = Timeline()
    what = f"{why} {image.name} ({image.id})"
    closing = partial(history.write_report, found, timeline)
    try:
        with (
            runs.record_run(shop, "promotion", ended=closing, ami=image.id, why=why) as run,
            lock.acquire(shop, run.id, what) as claim,
        ):
            timeline.add(Event(shop.clock.now().isoformat(timespec="seconds"), "began", what))
            settled = recovery.recover(shop)
            # What was true of the fleet before the claim was ours may not be any more.
            now = describe.describe_fleet(shop)
            found = decide(shop, wanted, now) if settled else _plan(shop, wanted, now, found.running, found.room)
            raise_if_blocked(found.plan)
            if found.plan.roll is not None and found.scene.group is not None:
                guarded(shop, [m.id for m in found.scene.group.members], image)
            shop.progress.say(what)
            result = _apply(shop, run, claim, found, image, timeline, why)
            run.record(refresh=result.refresh, version=result.version)
            return result
    except KeyboardInterrupt:
        if wanted.carried and transfer.load(shop) is not None:
            raise _interrupted_switchover(wanted, image) from None
        if timeline.first("started") and not wanted.carried:
            raise _interrupted(image) from None
        raise


def _interrupted_switchover(wanted: RolloutRequest, image: Image) -> GoldenError:
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


def _apply(
    shop: Context, run: Run, claim: HeldLock, found: Preflight, image: Image, timeline: Timeline, why: str
) -> PromoteResult:
    scene, decided = found.scene, found.plan
    version = ensure_version(shop, run, found, image)
    if scene.template is None:
        scene = describe.describe_fleet(shop)
    refresh = ""
    if scene.group is not None and decided.roll is not None:
        refresh = apply.roll_out(shop, run, claim, found, version, timeline, why)
    elif scene.group is not None:
        with shop.progress.phase("the fleet runs it already"):
            wait.wait_until_serving(shop, claim)
    traffic_shift.end(shop, claim)
    claim.confirm()
    with shop.progress.phase("commit: default version, then the parameter"):
        history.commit(shop, run.id, scene, version, image, why, refresh)
    now = shop.clock.now().isoformat(timespec="seconds")
    timeline.add(Event(now, "committed", f"{shop.names.production} names {image.id}"))
    return PromoteResult(found, image, version, run, timeline, refresh)


def ensure_version(shop: Context, run: Run, found: Preflight, image: Image) -> int:
    """The number of the template version for an image; it, or the whole template, is made when there is none."""
    if found.scene.template is None:
        auto_scaling.ensure_first_version(shop, image)
        made = launch_templates.get(shop.aws, shop.names.template)
        assert made is not None
        number = made.default
    else:
        number = found.plan.version or _create_version(shop, run, found.scene, found.wish, image)
    run.record(version=number)
    return number


def _create_version(shop: Context, run: Run, scene: FleetState, wanted: RolloutRequest, image: Image) -> int:
    template, source = scene.template, scene.source
    assert template is not None
    assert source is not None
    number = launch_templates.add_version(
        shop.aws,
        template.id,
        source.number,
        wanted.overrides,
        f"{image.name} ({image.id}), run {run.id}",
        launch_template_plan.client_token(template.id, source.number, wanted.overrides, template.latest),
    )
    shop.progress.say(f"{template.name} version {number}: version {source.number} with {image.id}")
    return number


def raise_if_blocked(decided: Plan) -> None:
    """Stop here when the preflight refuses.

    Raises:
        GateError: With every reason.
    """
    if decided.refusals:
        raise GateError("; ".join(decided.refusals), state="Nothing was changed.", next="./invoke status")
