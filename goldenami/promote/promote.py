"""Promote an image: preflight, launch template version, canary, fleet, default version, production parameter; or roll back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from goldenami.aws import images, launch_templates, quotas
from goldenami.context import Context
from goldenami.database import guard, recovery, transfer
from goldenami.errors import GateError, GoldenError
from goldenami.images import diff
from goldenami.infra import auto_scaling, describe, launch_template_plan, wait
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.model.resources import VcpuQuota
from goldenami.promote import apply, history, release_step, request
from goldenami.promote.model import PromoteOptions, PromoteResult
from goldenami.promote.plan import PromotionPlan, PromotionPreflight, plan_promotion
from goldenami.rollout import traffic_shift
from goldenami.rollout.context import RolloutContext
from goldenami.rollout.request_model import RolloutRequest
from goldenami.rollout.timeline_model import Timeline
from goldenami.state import lock, runs
from goldenami.state.runs import Run


def preflight(ctx: Context, options: PromoteOptions) -> PromotionPreflight:
    """Read the fleet and plan the promotion. Changes nothing.

    Raises:
        UsageError: The options select no image.
    """
    return compare_contents(ctx, decide(ctx, request.build_request(ctx, options), describe.describe_fleet(ctx)))


def compare_contents(ctx: Context, preflight: PromotionPreflight) -> PromotionPreflight:
    """Add the differences of the running image's contents, for a preflight that is printed: they take seconds to read."""
    running, image = preflight.running, preflight.request.image
    if running is None or image is None or running.id == image.id:
        return preflight
    return replace(preflight, diff=diff.compare_inventories(ctx, running, image))


def decide(ctx: Context, rollout_request: RolloutRequest, fleet_state: FleetState) -> PromotionPreflight:
    """Plan a request for the current state of the fleet."""
    source = fleet_state.source_version
    with ThreadPoolExecutor() as pool:  # parallel, because each call takes a network round trip
        quota_call = pool.submit(quotas.vcpu_quota, ctx.aws, ctx.recipe.instance.type) if fleet_state.group else None
        running = images.get(ctx.aws, source.image) if source and source.image.startswith("ami-") else None
        quota = quota_call.result() if quota_call else None
    if running is not None:
        rollout_request = replace(
            rollout_request, current_storage_mode=running.storage_mode, current_platform=running.platform
        )
    schema = release_step.schema_change(ctx, rollout_request.image, running, fleet_state)
    return _plan(ctx, replace(rollout_request, schema=schema), fleet_state, running, quota)


def _plan(
    ctx: Context,
    rollout_request: RolloutRequest,
    fleet_state: FleetState,
    running: Image | None,
    quota: VcpuQuota | None,
) -> PromotionPreflight:
    plan = plan_promotion(rollout_request, fleet_state, quota)
    if plan.blockers and recovery.has_unfinished(ctx):
        # An interrupted switchover may be what blocks. It is recovered first, and then everything is read again.
        warning = "a switchover or restore was interrupted: it is recovered first"
        plan = replace(plan, blockers=(), warnings=(*plan.warnings, warning))
    return PromotionPreflight(rollout_request, fleet_state, plan, running, quota)


def promote(ctx: Context, options: PromoteOptions) -> PromoteResult:
    """Promote an image to the fleet.

    Raises:
        UsageError: The options select no image.
        GateError: The preflight blocks it, or the health gate failed and the fleet is rolled back.
        BusyError: Another operation holds the fleet's lock.
        AwsError: An AWS call failed.
    """
    return run(ctx, preflight(ctx, options), options.why or "promote")


def run(
    ctx: Context,
    preflight: PromotionPreflight,
    why: str,
    check_data: Callable[[Context, Sequence[str], Image], None] = guard.raise_if_data_would_be_lost,
) -> PromoteResult:
    """Run a promotion, rollback or migration whose preflight was just made.

    Args:
        preflight: Its preflight.
        why: Reason, recorded in the history.
        check_data: Raises if the instances to be replaced must not be.
    """
    raise_if_blocked(preflight.plan)
    rollout_request, image = preflight.request, preflight.request.image
    assert image is not None
    # A lock without a holder: an earlier promotion crashed during its commit, which has to be repeated.
    if preflight.plan.unchanged and not recovery.has_unfinished(ctx) and lock.holder(ctx) is None:
        assert preflight.plan.version is not None
        return PromoteResult(preflight, image, preflight.plan.version, None, Timeline())
    timeline = Timeline()
    what = f"{why} {image.name} ({image.id})"
    try:
        with (
            runs.record_run(
                ctx, "promotion", on_end=partial(history.write_report, preflight, timeline), ami=image.id, why=why
            ) as promotion_run,
            lock.acquire(ctx, promotion_run.id, what) as held_lock,
        ):
            rollout = RolloutContext(ctx, promotion_run, held_lock, timeline)
            rollout.record("began", what)
            resumed = apply.resume_replacement(rollout, preflight, why)
            recovered = recovery.recover(ctx, held_lock) or resumed
            # The fleet may have changed before the lock was acquired.
            fleet_state = describe.describe_fleet(ctx)
            contents = preflight.diff
            if recovered:
                preflight = decide(ctx, rollout_request, fleet_state)
            else:
                preflight = _plan(ctx, rollout_request, fleet_state, preflight.running, preflight.quota)
            preflight = replace(preflight, diff=contents)
            raise_if_blocked(preflight.plan)
            if preflight.plan.refresh_preferences is not None and fleet_state.group is not None:
                check_data(ctx, [m.id for m in fleet_state.group.members], image)
            result = _apply(rollout, preflight, image, why)
            promotion_run.record(refresh=result.refresh, version=result.version)
            return result
    except KeyboardInterrupt:
        if rollout_request.transfers_data and transfer.load(ctx) is not None:
            raise _interrupted_switchover(rollout_request, image) from None
        if timeline.first("started") and not rollout_request.transfers_data:
            raise _interrupted(image) from None
        raise


def _interrupted_switchover(rollout_request: RolloutRequest, image: Image) -> GoldenError:
    resume = f"./invoke promote --ami {image.id} continues; ./invoke rollback transfers the current data back"
    if rollout_request.storage_change is not None:
        resume = f"./invoke db.migrate --to {rollout_request.storage_change.mode} continues"
    return GoldenError(
        "interrupted while the new instance was monitored",
        state="The new instance is in service with all data; the previous one is running with its writes stopped.",
        next=resume,
        exit_code=130,
    )


def _interrupted(image: Image) -> GoldenError:
    return GoldenError(
        "interrupted: the new instances are not monitored any more, and AWS continues the instance refresh",
        state="The production parameter and the template's default version are unchanged.",
        next=f"./invoke promote --ami {image.id} monitors it again; ./invoke rollback rolls it back",
        exit_code=130,
    )


def _apply(rollout: RolloutContext, preflight: PromotionPreflight, image: Image, why: str) -> PromoteResult:
    ctx, fleet_state = rollout.ctx, preflight.fleet_state
    version = ensure_version(ctx, rollout.run, preflight, image)
    if fleet_state.template is None:
        fleet_state = describe.describe_fleet(ctx)
    refresh = ""
    if fleet_state.group is not None and preflight.plan.refresh_preferences is not None:
        release_step.run(rollout, preflight, version, why)
        refresh = apply.roll_out(rollout, preflight, version, why)
    elif fleet_state.group is not None:
        with ctx.progress.phase("the fleet already runs this image"):
            wait.wait_until_serving(ctx, rollout.held_lock)
        unseen = preflight.plan.publish and rollout.timeline.first("watched") is None
        watch = preflight.request.watch
        if unseen and (reason := apply.watch_again(rollout, fleet_state.group, version, watch)):
            raise GateError(
                f"{image.name} ({image.id}) failed the health gate: {reason}",
                state="The fleet runs it; the production parameter is unchanged.",
                next="./invoke rollback",
            )
    traffic_shift.end(ctx, rollout.held_lock)
    rollout.held_lock.verify_held()
    with ctx.progress.phase("commit: default version, then production parameter"):
        history.commit(ctx, rollout.run.id, fleet_state, version, image, why, refresh)
    rollout.record("committed", f"{ctx.names.production} is {image.id}")
    return PromoteResult(preflight, image, version, rollout.run, rollout.timeline, refresh)


def ensure_version(ctx: Context, run: Run, preflight: PromotionPreflight, image: Image) -> int:
    """Return the launch template version for an image; create the version, or the whole template, if there is none."""
    if preflight.fleet_state.template is None:
        auto_scaling.ensure_first_version(ctx, image)
        template = launch_templates.get(ctx.aws, ctx.names.launch_template)
        assert template is not None
        version = template.default
    else:
        version = preflight.plan.version or _create_version(ctx, run, preflight, image)
    run.record(version=version)
    return version


def _create_version(ctx: Context, run: Run, preflight: PromotionPreflight, image: Image) -> int:
    template, source = preflight.fleet_state.template, preflight.fleet_state.source_version
    assert template is not None
    assert source is not None
    overrides = preflight.request.overrides
    version = launch_templates.add_version(
        ctx.aws,
        template.id,
        source.number,
        overrides,
        f"{image.name} ({image.id}), run {run.id}",
        launch_template_plan.client_token(template.id, source.number, overrides, template.latest),
    )
    ctx.progress.info(f"created {template.name} version {version}: version {source.number} with {image.id}")
    return version


def raise_if_blocked(plan: PromotionPlan) -> None:
    """Raise if the plan has blockers.

    Raises:
        GateError: With every blocker.
    """
    if plan.blockers:
        raise GateError("; ".join(plan.blockers), state="No changes were made.", next="./invoke status")
