"""Renew the fleet's instances: the traffic first where it is shifted by weight, then the group; all of it back when it is red."""

from __future__ import annotations

from goldenami.context import Context
from goldenami.promote import history
from goldenami.promote.plan import Preflight
from goldenami.rollout import traffic_shift
from goldenami.rollout.instance_refresh import InstanceRefreshRollout, restore_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.replace_instance import InstanceReplacement
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.rollout.traffic_shift import TrafficShift
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run


def roll_out(
    shop: Context, run: Run, claim: HeldLock, found: Preflight, version: int, timeline: Timeline, why: str
) -> str:
    """Bring every instance of the group to a template version.

    Returns:
        The id of the instance refresh that did it.

    Raises:
        GateError: The gate was red; the fleet is back on what it ran before.
    """
    scene, group, decided, wanted = found.scene, found.scene.group, found.plan, found.wish
    assert group is not None
    if wanted.carried:
        return replace_single_instance(shop, run, claim, found, version, timeline, why)
    assert decided.roll is not None
    assert scene.template is not None
    began = _now(shop)
    watch = RolloutMonitor(shop, run, version, timeline, began=began, old=tuple(m.id for m in group.members))
    shift = TrafficShift(
        shop, claim, watch, timeline, group.desired, version, decided.traffic, wanted.watch, wanted.alarms
    )
    roll = InstanceRefreshRollout(
        shop, claim, watch, timeline, group.name, scene.template.id, group.number, version, decided.roll, decided.adopt
    )
    reason = shift.forward() if decided.traffic else ""
    if not reason:
        watch.beside = shop.names.trial if decided.traffic or scene.trial else ""
        if decided.adopt:
            shop.progress.say(f"going on with the instance refresh {decided.adopt} that was begun before")
        with shop.progress.phase(f"renewing {group.desired} instance(s) of {group.name}"):
            reason = roll.forward()
    if reason:
        _roll_back(shop, run, claim, found, shift, roll, reason, why)
    return roll.refresh


def _roll_back(
    shop: Context,
    run: Run,
    claim: HeldLock,
    found: Preflight,
    shift: TrafficShift,
    roll: InstanceRefreshRollout,
    reason: str,
    why: str,
) -> None:
    """Requests back, group back, trial away; then say what was seen.

    Raises:
        GateError: Always.
    """
    scene, image, timeline = found.scene, found.wish.image, roll.timeline
    assert image is not None
    timeline.add(Event(_now(shop), "red", reason))
    shop.progress.say(f"RED: {reason}")
    if found.plan.traffic:
        shift.back()
    if roll.refresh:
        roll.back()
    kept = roll.watch.keep_evidence()
    state = "The production parameter and the template's default version are untouched."
    if roll.old is not None and roll.old != roll.new:
        with shop.progress.phase(f"back to version {roll.old}"):
            restore_group(shop, claim, roll.group, roll.template, roll.old)
        timeline.add(Event(_now(shop), "restored", f"the whole fleet serves version {roll.old} again"))
        state = f"The fleet is back on version {roll.old} and healthy. {state}"
    traffic_shift.end(shop, claim)
    raise history.record_rollback(
        shop, run, scene, image, roll.new, f"{why}: {reason}", state=state, kept=kept, refresh=roll.refresh
    )


def replace_single_instance(
    shop: Context, run: Run, claim: HeldLock, found: Preflight, version: int, timeline: Timeline, why: str
) -> str:
    """Replace the one instance by another that gets its rows; there is no instance refresh."""
    group, image = found.scene.group, found.wish.image
    assert group is not None
    assert image is not None
    watch = RolloutMonitor(shop, run, version, timeline, began=_now(shop), old=tuple(m.id for m in group.members))
    with shop.progress.phase(f"replacing the instance of {group.name}, with its rows"):
        exchange = InstanceReplacement(shop, claim, watch, timeline, group, version, found.wish.watch, found.wish.move)
        reason = exchange.forward()
    if not reason:
        return ""
    state = "The instance before it serves, with every row. The production parameter is untouched."
    raise history.record_rollback(
        shop, run, found.scene, image, version, f"{why}: {reason}", state=state, kept=watch.keep_evidence()
    )


def _now(shop: Context) -> str:
    return shop.clock.now().isoformat(timespec="seconds")
