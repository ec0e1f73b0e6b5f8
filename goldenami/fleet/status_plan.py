"""Judge a fleet from what was observed: are users served, what is under way, what differs, and what comes next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from goldenami.fleet import drift_plan
from goldenami.fleet.model import Assessment, Drift, FleetObservation, ServiceState
from goldenami.recipe.recipe import Recipe

LOOK_AGAIN = "./invoke status"
_STEPS = {
    "launching": "the new instance is starting, without data",
    "moving": "its data is being transferred",
    "opened": "the new instance has the data",
}


def assess(recipe: Recipe, observed: FleetObservation) -> Assessment:
    """Return the assessment of a fleet."""
    state, evidence = _judge_service(recipe, observed)
    since, event = _last_change(state, observed)
    drift = tuple(drift_plan.find_drift(recipe, observed))
    return Assessment(
        state=state,
        evidence=evidence,
        since=since,
        event=event,
        under_way=tuple(_under_way(observed)),
        drift=drift,
        next=_next(recipe, observed, state, drift),
    )


def _judge_service(recipe: Recipe, observed: FleetObservation) -> tuple[ServiceState, str]:
    """Return the state of the service, and what was seen of it."""
    group, probe, in_service = observed.fleet_state.group, observed.probe, observed.in_service
    if observed.missing_balancer:
        return "not serving", f"the load balancer {observed.missing_balancer} does not exist"
    if group is None and not observed.standalone:
        return "not serving", "there is no Auto Scaling group and no instance"
    expected = group.desired if group else len(observed.standalone)
    count = f"{len(in_service)} of {expected} instance(s) in service"
    if probe is None:
        return "not serving", f"{count}, and none has an address"
    if probe.answered:
        served, evidence = probe.succeeded > 0, f"{probe.detail}; {count}"
    else:
        reported = "the load balancer's target health" if recipe.fleet.load_balancer else "the instances' state"
        served, evidence = bool(in_service), f"{count} by {reported}; {probe.detail} (not reachable from here)"
    if not served:
        return "not serving", evidence
    replacing = observed.switchover is not None
    if probe.failed or (len(in_service) < expected and not replacing) or _writes_stopped(observed):
        return "degraded", evidence
    return "serving", evidence


def _writes_stopped(observed: FleetObservation) -> bool:
    switchover = observed.switchover
    return observed.freeze is not None or (switchover is not None and switchover.step == "moving")


def _last_change(state: ServiceState, observed: FleetObservation) -> tuple[str, str]:
    """Return the time and the description of the last change that is known to explain the state; empty if none is."""
    groups = [observed.fleet_state.group] if observed.fleet_state.group else []
    if state != "not serving":
        members = [m for group in groups for m in group.members if m.id in observed.in_service]
        launched = [(m.launched, f"{m.id} launched") for m in members]
        launched += [(i.launched, f"{i.id} launched") for i in observed.standalone if i.state == "running"]
        return max(launched, default=("", ""))
    instances = (*observed.stopped, *(i for i in observed.standalone if i.state != "running"))
    stopped = [(i.changed, f"{i.id} {i.state}") for i in instances if i.changed]
    if stopped:
        return max(stopped)
    running = any(m.state == "running" for group in groups for m in group.members)
    return ("", "") if running else observed.activity


def _under_way(observed: FleetObservation) -> Iterator[str]:
    """Yield what changes the fleet now, how far it is, and what was interrupted."""
    lock, refresh, canary = observed.lock, observed.fleet_state.active_refresh, observed.fleet_state.canary
    if lock is not None:
        stale = "" if observed.in_progress else "; interrupted: its lock is stale"
        yield f"{lock.operation}, by {lock.holder} since {lock.since}{stale}"
    unattended = "" if observed.in_progress else ", and no command monitors it"
    if refresh is not None:
        yield f"instance refresh {refresh.id} to version {refresh.version}: {refresh.status}, {refresh.percent} %{unattended}"
    if canary is not None:
        group, serving = canary.group, sum(m.serving for m in canary.group.members)
        yield (
            f"canary {group.name} of version {group.version}: {canary.weight} % of the requests, {serving} of"
            f" {group.desired} instance(s) in service{unattended}"
        )
    interrupted = "" if observed.in_progress else "; interrupted"
    if switchover := observed.switchover:
        target, phase = switchover.target or "a new instance", _STEPS[switchover.step]
        frozen = f"; writes stopped since {switchover.frozen_since}" if switchover.step == "moving" else ""
        yield (
            f"switchover from {switchover.source} to {target}: {phase}; the primary is {switchover.primary}{frozen}"
            f"{interrupted}"
        )
    if freeze := observed.freeze:
        since = f" since {freeze.since}" if freeze.since else ""
        end = f"{freeze.operation} resumes them" if observed.in_progress else f"{freeze.resumed_by} resumes them"
        yield f"writes are stopped on {', '.join(freeze.instances)}{since} for {freeze.operation}{interrupted}; {end}"


def _next(recipe: Recipe, observed: FleetObservation, state: ServiceState, drift: Sequence[Drift]) -> str:
    """Return the one command that leads on; empty if there is nothing to do."""
    if observed.in_progress:
        return LOOK_AGAIN
    if observed.freeze is not None:
        return observed.freeze.resumed_by
    if observed.switchover is not None:
        return observed.switchover.resumed_by
    if observed.fleet_state.active_refresh is not None or observed.fleet_state.canary is not None:
        return drift_plan.ROLLBACK
    group = observed.fleet_state.group
    if state == "not serving":
        if group is None and not observed.standalone:
            return drift_plan.create_fleet(recipe, observed)
        if drift_plan.keeps_data(recipe) and not observed.missing_balancer:
            return drift_plan.RECOVER
        if group is not None and not group.desired:
            size = max(1, recipe.fleet.desired)
            return (
                f"aws autoscaling set-desired-capacity --auto-scaling-group-name {group.name} --desired-capacity {size}"
            )
    fixes = [difference.fix for difference in drift if difference.fix]
    if fixes:
        return fixes[0]
    return "" if state == "serving" else LOOK_AGAIN
