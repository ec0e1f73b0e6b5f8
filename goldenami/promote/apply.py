"""Renew the fleet's instances: the traffic first where it is shifted by weight, then the group; all of it back when it is red."""

from __future__ import annotations

from goldenami.context import Context
from goldenami.promote import history
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout import traffic_shift
from goldenami.rollout.instance_refresh import InstanceRefreshRollout, restore_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.replace_instance import InstanceReplacement
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.rollout.traffic_shift import TrafficShift
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run


def roll_out(
    ctx: Context, run: Run, held_lock: HeldLock, found: PromotionPreflight, version: int, timeline: Timeline, why: str
) -> str:
    """Bring every instance of the group to a template version.

    Returns:
        The id of the instance refresh that did it.

    Raises:
        GateError: The gate was red; the fleet is back on what it ran before.
    """
    fleet_state, group, decided, wanted = found.fleet_state, found.fleet_state.group, found.plan, found.request
    assert group is not None
    if wanted.transfers_data:
        return replace_single_instance(ctx, run, held_lock, found, version, timeline, why)
    assert decided.refresh_preferences is not None
    assert fleet_state.template is not None
    began = _now(ctx)
    watch = RolloutMonitor(ctx, run, version, timeline, began=began, old=tuple(m.id for m in group.members))
    shift = TrafficShift(
        ctx, held_lock, watch, timeline, group.desired, version, decided.traffic, wanted.watch, wanted.alarms
    )
    roll = InstanceRefreshRollout(
        ctx,
        held_lock,
        watch,
        timeline,
        group.name,
        fleet_state.template.id,
        group.number,
        version,
        decided.refresh_preferences,
        decided.adopt,
    )
    reason = shift.run() if decided.traffic else ""
    if not reason:
        watch.beside = ctx.names.canary_group if decided.traffic or fleet_state.canary else ""
        if decided.adopt:
            ctx.progress.info(f"going on with the instance refresh {decided.adopt} that was begun before")
        with ctx.progress.phase(f"replacing {group.desired} instance(s) of {group.name}"):
            reason = roll.run()
    if reason:
        _roll_back(ctx, run, held_lock, found, shift, roll, reason, why)
    return roll.refresh


def _roll_back(
    ctx: Context,
    run: Run,
    held_lock: HeldLock,
    found: PromotionPreflight,
    shift: TrafficShift,
    roll: InstanceRefreshRollout,
    reason: str,
    why: str,
) -> None:
    """Requests back, group back, trial away; then say what was seen.

    Raises:
        GateError: Always.
    """
    fleet_state, image, timeline = found.fleet_state, found.request.image, roll.timeline
    assert image is not None
    timeline.add(Event(_now(ctx), "red", reason))
    ctx.progress.info(f"RED: {reason}")
    if found.plan.traffic:
        shift.roll_back()
    if roll.refresh:
        roll.roll_back()
    kept = roll.monitor.keep_evidence()
    state = "The production parameter and the template's default version are untouched."
    if roll.old is not None and roll.old != roll.new:
        with ctx.progress.phase(f"back to version {roll.old}"):
            restore_group(ctx, held_lock, roll.group, roll.template, roll.old)
        timeline.add(Event(_now(ctx), "restored", f"the whole fleet serves version {roll.old} again"))
        state = f"The fleet is back on version {roll.old} and healthy. {state}"
    traffic_shift.end(ctx, held_lock)
    raise history.record_rollback(
        ctx, run, fleet_state, image, roll.new, f"{why}: {reason}", state=state, kept=kept, refresh=roll.refresh
    )


def replace_single_instance(
    ctx: Context, run: Run, held_lock: HeldLock, found: PromotionPreflight, version: int, timeline: Timeline, why: str
) -> str:
    """Replace the one instance by another that gets its rows; there is no instance refresh."""
    group, image = found.fleet_state.group, found.request.image
    assert group is not None
    assert image is not None
    watch = RolloutMonitor(ctx, run, version, timeline, began=_now(ctx), old=tuple(m.id for m in group.members))
    with ctx.progress.phase(f"replacing the instance of {group.name}, with its rows"):
        exchange = InstanceReplacement(
            ctx, held_lock, watch, timeline, group, version, found.request.watch, found.request.storage_change
        )
        reason = exchange.run()
    if not reason:
        return ""
    state = "The instance before it serves, with every row. The production parameter is untouched."
    raise history.record_rollback(
        ctx, run, found.fleet_state, image, version, f"{why}: {reason}", state=state, kept=watch.keep_evidence()
    )


def _now(ctx: Context) -> str:
    return ctx.clock.now().isoformat(timespec="seconds")
