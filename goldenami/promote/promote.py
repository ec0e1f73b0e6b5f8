"""Promote: preflight → template version → canary → the whole fleet → default version → the pointer; or back, if it is bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from goldenami.aws import images, launch_templates, quotas
from goldenami.context import Context
from goldenami.database import guard, recovery, transfer
from goldenami.errors import GateError, GoldenError
from goldenami.images import diff
from goldenami.images.diff_plan import ImageDiff
from goldenami.images.model import PromoteOptions
from goldenami.infra import auto_scaling, describe, launch_template_plan, wait
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.model.resources import VcpuQuota
from goldenami.promote import apply, history, request
from goldenami.promote.model import PromoteResult
from goldenami.promote.plan import PromotionPlan, PromotionPreflight, plan_promotion
from goldenami.rollout import traffic_shift
from goldenami.rollout.request_model import RolloutRequest
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state import lock, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run


def preflight(ctx: Context, options: PromoteOptions) -> PromotionPreflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: The command line does not name an image.
    """
    return decide(ctx, request.build_request(ctx, options), describe.describe_fleet(ctx))


def decide(ctx: Context, wanted: RolloutRequest, fleet_state: FleetState) -> PromotionPreflight:
    """Plan for a wish, with the fleet as it was read just now."""
    source = fleet_state.source_version
    running = images.get(ctx.aws, source.image) if source and source.image.startswith("ami-") else None
    room = quotas.vcpu_quota(ctx.aws, ctx.recipe.instance.type) if fleet_state.group else None
    if running is not None:
        wanted = replace(wanted, current_storage_mode=running.storage_mode, current_platform=running.platform)
    image = wanted.image
    contents = diff.compare_inventories(ctx, running, image) if running and image and running.id != image.id else None
    return _plan(ctx, wanted, fleet_state, running, room, contents)


def _plan(
    ctx: Context,
    wanted: RolloutRequest,
    fleet_state: FleetState,
    running: Image | None,
    room: VcpuQuota | None,
    contents: ImageDiff | None,
) -> PromotionPreflight:
    decided = plan_promotion(wanted, fleet_state, room)
    if decided.blockers and recovery.has_unfinished(ctx):
        # What a handover looks like half-way is no reason against going on with it; once it is settled, all is read again.
        told = "a handover or a restore was left half-way: it is seen to its end before anything else"
        decided = replace(decided, blockers=(), warnings=(*decided.warnings, told))
    return PromotionPreflight(wanted, fleet_state, decided, running, room, contents)


def promote(ctx: Context, options: PromoteOptions) -> PromoteResult:
    """Carry an image to the fleet.

    Raises:
        UsageError: The command line does not name an image.
        GateError: The preflight refuses, or the image is bad: then the fleet is back on what it ran before.
        BusyError: Somebody else is changing the fleet.
        AwsError: AWS refused.
    """
    return run(ctx, preflight(ctx, options), options.why or "promote")


def run(
    ctx: Context,
    found: PromotionPreflight,
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
    wanted = found.request
    left = recovery.has_unfinished(ctx)
    image = wanted.image
    assert image is not None
    # With a claim left behind, a promotion died in its commit: what may be missing is made good, and the claim given back.
    if found.plan.unchanged and not left and lock.holder(ctx) is None:
        assert found.plan.version is not None
        return PromoteResult(found, image, found.plan.version, None, Timeline())
    timeline = Timeline()
    what = f"{why} {image.name} ({image.id})"
    closing = partial(history.write_report, found, timeline)
    try:
        with (
            runs.record_run(ctx, "promotion", on_end=closing, ami=image.id, why=why) as run,
            lock.acquire(ctx, run.id, what) as held_lock,
        ):
            timeline.add(Event(ctx.clock.now().isoformat(timespec="seconds"), "began", what))
            settled = recovery.recover(ctx)
            # What was true of the fleet before the claim was ours may not be any more.
            now = describe.describe_fleet(ctx)
            found = (
                decide(ctx, wanted, now) if settled else _plan(ctx, wanted, now, found.running, found.quota, found.diff)
            )
            raise_if_blocked(found.plan)
            if found.plan.refresh_preferences is not None and found.fleet_state.group is not None:
                guarded(ctx, [m.id for m in found.fleet_state.group.members], image)
            ctx.progress.info(what)
            result = _apply(ctx, run, held_lock, found, image, timeline, why)
            run.record(refresh=result.refresh, version=result.version)
            return result
    except KeyboardInterrupt:
        if wanted.transfers_data and transfer.load(ctx) is not None:
            raise _interrupted_switchover(wanted, image) from None
        if timeline.first("started") and not wanted.transfers_data:
            raise _interrupted(image) from None
        raise


def _interrupted_switchover(wanted: RolloutRequest, image: Image) -> GoldenError:
    again = f"./invoke promote --ami {image.id} goes on; ./invoke rollback carries today's rows back"
    if wanted.storage_change is not None:
        again = f"./invoke db.migrate --to {wanted.storage_change.mode} goes on"
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
    ctx: Context, run: Run, held_lock: HeldLock, found: PromotionPreflight, image: Image, timeline: Timeline, why: str
) -> PromoteResult:
    fleet_state, decided = found.fleet_state, found.plan
    version = ensure_version(ctx, run, found, image)
    if fleet_state.template is None:
        fleet_state = describe.describe_fleet(ctx)
    refresh = ""
    if fleet_state.group is not None and decided.refresh_preferences is not None:
        refresh = apply.roll_out(ctx, run, held_lock, found, version, timeline, why)
    elif fleet_state.group is not None:
        with ctx.progress.phase("the fleet runs it already"):
            wait.wait_until_serving(ctx, held_lock)
    traffic_shift.end(ctx, held_lock)
    held_lock.verify_held()
    with ctx.progress.phase("commit: default version, then the parameter"):
        history.commit(ctx, run.id, fleet_state, version, image, why, refresh)
    now = ctx.clock.now().isoformat(timespec="seconds")
    timeline.add(Event(now, "committed", f"{ctx.names.production} names {image.id}"))
    return PromoteResult(found, image, version, run, timeline, refresh)


def ensure_version(ctx: Context, run: Run, found: PromotionPreflight, image: Image) -> int:
    """The number of the template version for an image; it, or the whole template, is made when there is none."""
    if found.fleet_state.template is None:
        auto_scaling.ensure_first_version(ctx, image)
        made = launch_templates.get(ctx.aws, ctx.names.launch_template)
        assert made is not None
        number = made.default
    else:
        number = found.plan.version or _create_version(ctx, run, found.fleet_state, found.request, image)
    run.record(version=number)
    return number


def _create_version(ctx: Context, run: Run, fleet_state: FleetState, wanted: RolloutRequest, image: Image) -> int:
    template, source = fleet_state.template, fleet_state.source_version
    assert template is not None
    assert source is not None
    number = launch_templates.add_version(
        ctx.aws,
        template.id,
        source.number,
        wanted.overrides,
        f"{image.name} ({image.id}), run {run.id}",
        launch_template_plan.client_token(template.id, source.number, wanted.overrides, template.latest),
    )
    ctx.progress.info(f"{template.name} version {number}: version {source.number} with {image.id}")
    return number


def raise_if_blocked(decided: PromotionPlan) -> None:
    """Stop here when the preflight refuses.

    Raises:
        GateError: With every reason.
    """
    if decided.blockers:
        raise GateError("; ".join(decided.blockers), state="Nothing was changed.", next="./invoke status")
