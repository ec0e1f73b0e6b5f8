"""Preflight of a promotion or rollback: current state, differences, steps, capacity, blockers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goldenami.context import Context
from goldenami.database import release_plan
from goldenami.images.diff_plan import changes
from goldenami.model import image as model_image, prices
from goldenami.model.fleet import FleetState
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.group_plan import kept_members
from goldenami.rollout.plan import canary_count, estimate_refresh, estimate_traffic_shift, surge_capacity
from goldenami.text import Report, bullets, minute, numbered, pairs, seconds, table

if TYPE_CHECKING:
    from goldenami.promote.model import RollbackPreflight

_DIFFERENCES_SHOWN = 30


def promotion(ctx: Context, preflight: PromotionPreflight) -> Report:
    """Return the preflight of a promotion."""
    plan = preflight.plan
    parts = [*overview(ctx, preflight), "\nSteps", *(numbered(steps(ctx, preflight)) or ["  No changes"])]
    if capacity := required_capacity(ctx, preflight):
        parts += ["\nCapacity", pairs(capacity)]
    parts += [*bullets("Warnings", plan.warnings), *bullets("REFUSED", plan.blockers)]
    return Report(facts(ctx, preflight), "\n".join(parts))


def rollback(ctx: Context, preflight: RollbackPreflight) -> Report:
    """Return the preflight of a rollback, with the reason for its target."""
    image, reason = preflight.target.image, preflight.target.reason
    page = promotion(ctx, preflight.preflight)
    lines = [f"ROLLBACK to {image.name} ({image.id}): {reason}", *bullets("Drift (repaired first)", preflight.drift)]
    refresh = preflight.preflight.fleet_state.active_refresh
    if refresh is not None:
        lines.append(f"\nFirst, the instance refresh {refresh.id} ({refresh.status}) is rolled back")
    facts = {"to": image.id, "name": image.name, "reason": reason, "drift": list(preflight.drift)}
    return Report({**facts, "preflight": page.facts}, "\n".join([*lines, "", page.text]))


def overview(ctx: Context, preflight: PromotionPreflight) -> list[str]:
    """Return the lines about the image, the fleet, and the differences between the running image and the new one."""
    image, fleet_state = preflight.request.image, preflight.fleet_state
    assert image is not None
    about = {
        "state": f"{image.state}, {model_image.image_status(image)}",
        "built": f"{minute(image.created)}, {image.architecture}, {image.size_gib} GiB root",
        "instance type": ctx.recipe.instance.type,
        "rolled back before": image.tags.get("goldenami:rolled-back", "no"),
    }
    parts = [f"PREFLIGHT {image.name} ({image.id})\n", "Image", pairs(about)]
    parts += ["\nFleet", pairs(current_state(ctx, fleet_state))]
    if fleet_state.group is not None:
        parts.append(group_instances(fleet_state))
    return [*parts, "\nDifferences from the running image", differences(preflight)]


def facts(ctx: Context, preflight: PromotionPreflight) -> dict[str, Any]:
    """Return the preflight as JSON data."""
    image, fleet_state, plan = preflight.request.image, preflight.fleet_state, preflight.plan
    assert image is not None
    return {
        "image": {"id": image.id, "name": image.name, "state": image.state, "verified": image.verified},
        "current": current_state(ctx, fleet_state),
        "instances": [asdict(m) for m in fleet_state.group.members] if fleet_state.group else [],
        "running": preflight.running.id if preflight.running else None,
        "changes": [asdict(change) for change in changes(preflight.running, image, None, None)],
        "diff": preflight.diff.facts() if preflight.diff else None,
        "migrations": asdict(preflight.request.schema) if preflight.request.schema else None,
        "steps": list(steps(ctx, preflight)),
        "capacity": required_capacity(ctx, preflight),
        "plan": asdict(plan),
        "warnings": list(plan.warnings),
        "blockers": list(plan.blockers),
        "unchanged": plan.unchanged,
    }


def current_state(ctx: Context, fleet_state: FleetState) -> dict[str, str]:
    """Return the state of the release pointer, launch template, group and instance refresh."""
    pointer, template, group = fleet_state.pointer, fleet_state.template, fleet_state.group
    refresh, canary = fleet_state.active_refresh, fleet_state.canary
    state = {"pointer": "not created", "template": "not created", "group": "not created", "refresh": "none"}
    if pointer:
        state["pointer"] = f"{ctx.names.production} version {pointer.version}: {pointer.ami}"
    if template:
        state["template"] = f"{template.name}: default {template.default}, latest {template.latest}"
    if group:
        size = f"min {group.min}, max {group.max}, desired {group.desired}"
        state["group"] = f"{group.name}: version {group.version}, {size}"
    if refresh:
        state["refresh"] = f"{refresh.id} {refresh.status} {refresh.percent} % to version {refresh.version}"
    state["rollback"] = _rollback_target(fleet_state)
    if canary:
        group, size = canary.group, f"{len(canary.group.members)} instance(s)"
        state["canary group"] = f"{group.name}: version {group.version}, {size}, {canary.weight} % of the requests"
    return state


def _rollback_target(fleet_state: FleetState) -> str:
    group, source = fleet_state.group, fleet_state.source_version
    if group is None:
        return "by the history of the production parameter (no group)"
    if group.number is None:
        return f"NO: the group launches {group.version}"
    if source is not None and not source.image.startswith("ami-"):
        return f"NO: the group launches {source.image}"
    return f"yes: to version {group.number} with {source.image if source else 'its image'}"


def group_instances(fleet_state: FleetState) -> str:
    """Return the table of the group's instances."""
    assert fleet_state.group is not None
    rows = [
        [m.id, m.zone, str(m.version), m.image, m.lifecycle, m.target or "-", m.address, m.launched[:16], m.drifted]
        for m in fleet_state.group.members
    ]
    head = ["INSTANCE", "ZONE", "VERSION", "IMAGE", "STATE", "TARGET", "ADDRESS", "LAUNCHED", "DRIFT"]
    return table(head, rows) if rows else "  no instances"


def differences(preflight: PromotionPreflight) -> str:
    """Return the differences between the running image and the new one: tags, then contents where both are known."""
    image, contents = preflight.request.image, preflight.diff
    assert image is not None
    rows = [[c.what, c.before or "-", c.after or "-"] for c in changes(preflight.running, image, None, None)]
    notes = []
    if contents is not None:
        listed = contents.differences[:_DIFFERENCES_SHOWN]
        rows += [[f"{d.kind} {d.name}", d.before or "-", d.after or d.what] for d in listed]
        if more := len(contents.differences) - len(listed):
            notes.append(f"{more} more: ./invoke diff running {image.id}")
        notes += contents.missing
    lines = [table(["", "RUNNING", "NEW"], rows)] if rows else ["  none"]
    return "\n".join([*lines, *(f"  {note}" for note in notes)])


def steps(ctx: Context, preflight: PromotionPreflight) -> Iterator[str]:
    """Return the steps of the promotion, in order."""
    plan, request, names = preflight.plan, preflight.request, ctx.names
    yield from launch_template_steps(ctx, preflight)
    version = version_name(preflight)
    if plan.refresh_preferences is not None and preflight.fleet_state.group is not None:
        yield from schema_steps(preflight)
        how = _replacement_steps if request.transfers_data else _refresh_steps
        yield from how(ctx, preflight, version)
    if plan.traffic or preflight.fleet_state.canary:
        yield f"send all requests to {names.group} again, and delete {names.canary_group}"
    yield from release_steps(ctx, preflight)


def schema_steps(preflight: PromotionPreflight) -> Iterator[str]:
    """Return the steps that bring the database to what the image needs."""
    request = preflight.request
    if request.schema is not None:
        rehearse, transfers_data = request.rehearse, request.transfers_data
        yield from release_plan.steps(request.schema, rehearse=rehearse, transfers_data=transfers_data)


def version_name(preflight: PromotionPreflight) -> str:
    """Return the name of the launch template version to launch."""
    return f"version {preflight.plan.version}" if preflight.plan.version else "the new version"


def launch_template_steps(ctx: Context, preflight: PromotionPreflight) -> Iterator[str]:
    """Return the step that creates the launch template version, if it does not exist."""
    plan, ami, name = preflight.plan, preflight.request.ami, ctx.names.launch_template
    if preflight.fleet_state.template is None:
        yield f"create {name} with {ami} as version 1"
    elif plan.version is None:
        yield f"create a version of {name} from version {plan.source}, with {ami}"


def release_steps(ctx: Context, preflight: PromotionPreflight) -> Iterator[str]:
    """Return the steps that make the image the released one."""
    if preflight.plan.default:
        yield f"make {version_name(preflight)} the default of {ctx.names.launch_template}"
    if preflight.plan.publish:
        yield f"point {ctx.names.production} at {preflight.request.ami}"


def _replacement_steps(ctx: Context, preflight: PromotionPreflight, version: str) -> Iterator[str]:
    group, data = ctx.names.group, "back up the database, restore and verify it on the new one"
    if ctx.recipe.database.on_volume:
        data = "move its volume to the new one, which checks it"
    yield f"launch one instance with {version} alongside {group}; it must become healthy with an empty database"
    yield f"stop writes on the old instance; {data}; the new instance takes the traffic"
    yield f"until the old one is terminated, suspend the automatic processes of {group}, and protect both from scale-in"
    yield (
        f"monitor the new instance for {seconds(preflight.request.watch)}; if it fails, transfer the current data back;"
        " otherwise terminate the old instance"
    )


def _refresh_steps(ctx: Context, preflight: PromotionPreflight, version: str) -> Iterator[str]:
    plan, watch, group = preflight.plan, preflight.request.watch, preflight.fleet_state.group
    preferences, kind = plan.refresh_preferences, ctx.recipe.instance.type
    assert preferences is not None
    assert group is not None
    duration = estimate_refresh(group.desired, preferences)
    if plan.traffic:
        total = seconds(estimate_traffic_shift(len(plan.traffic), watch) + duration)
        yield f"launch {group.desired} {kind} of {version} alongside the fleet ({ctx.names.canary_group}), for about {total}"
        shares = ", then ".join(f"{share} %" for share in plan.traffic)
        yield f"send them {shares} of the requests, each monitored for {seconds(watch)}"
    if plan.adopt:
        yield f"continue the instance refresh {plan.adopt} to {version}"
    else:
        spare = surge_capacity(group.desired, preferences, (), 0).instances
        count = group.desired - sum(not m.is_standby for m in kept_members(group, plan.version))
        yield (
            f"replace {count} instance(s) of {group.name} with {version}: never fewer than {group.desired} in"
            f" service, up to {spare} {kind} more for about {seconds(duration)}"
        )
    if preferences.checkpoints:
        first = canary_count(group.desired, preferences)
        yield f"monitor the first {first} of {group.desired} for {seconds(preferences.delay)}, then replace the others"
    elif not plan.traffic:
        yield f"monitor the new instances for {seconds(max(preferences.warmup, preferences.bake_time))}"
    yield "if the health gate fails: roll back, exit code 5"


def required_capacity(ctx: Context, preflight: PromotionPreflight) -> dict[str, str]:
    """Return the extra instances of the rollout, the vCPU quota for them, and their cost."""
    plan, group, quota, kind = preflight.plan, preflight.fleet_state.group, preflight.quota, ctx.recipe.instance.type
    if plan.refresh_preferences is None or group is None:
        return {}
    surge = surge_capacity(group.desired, plan.refresh_preferences, plan.traffic, preflight.request.watch)
    capacity = {"instances": f"up to {surge.instances} {kind} more, about {surge.instance_hours:.2f} instance-hours"}
    if quota is not None:
        limit = "unknown" if quota.quota is None else str(quota.quota)
        needed = surge.instances * quota.vcpus_per_instance
        capacity["vCPU quota"] = f"{quota.used} of {limit} in use, up to {needed} more needed"
    dollars = surge.dollars(ctx.aws.region, kind)
    capacity["cost"] = (
        f"unknown: no price of {kind} in {ctx.aws.region}"
        if dollars is None
        else f"about ${dollars:.4f} (prices of {prices.as_of():%Y-%m}), plus the volumes of those instances"
    )
    return capacity
