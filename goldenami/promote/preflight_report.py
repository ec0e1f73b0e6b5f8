"""The preflight page: what is, what differs, what would be done and at what price; for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goldenami.context import Context
from goldenami.model import image as model_image
from goldenami.model import prices
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.plan import canary_count, estimate_refresh, estimate_traffic_shift, surge_capacity
from goldenami.state.run_model import RunFolder
from goldenami.text import pairs, seconds, table

if TYPE_CHECKING:
    from goldenami.promote.model import RollbackPreflight


_COMPARED = (("version", "Version"), ("Go", "Go"), ("PostgreSQL", "PostgreSQL"), ("app commit", model_image.COMMIT))


def page(ctx: Context, found: PromotionPreflight, *, as_json: bool) -> str:
    """The preflight: what is, what differs, what would be done, and what forbids it."""
    if as_json:
        return json.dumps(facts(ctx, found), ensure_ascii=False, default=dict)
    decided = found.plan
    parts = [*about(ctx, found), "\nwhat will be done"]
    parts += [f"  {number}. {step}" for number, step in enumerate(steps(ctx, found), 1)] or [
        "  nothing: it is so already"
    ]
    if told := needed(ctx, found):
        parts += ["\nmeanwhile", pairs(told)]
    return "\n".join([*parts, *verdict(decided.warnings, decided.blockers)])


def verdict(notes: Sequence[str], refusals: Sequence[str]) -> list[str]:
    """What is worth knowing, and what forbids it."""
    parts = ["\nnotes", *(f"  - {text}" for text in notes)] if notes else []
    return [*parts, "\nREFUSED", *(f"  - {text}" for text in refusals)] if refusals else parts


def about(ctx: Context, found: PromotionPreflight) -> list[str]:
    """The image, the fleet now, and what differs between the two."""
    image, fleet_state = found.request.image, found.fleet_state
    assert image is not None
    parts = [f"PREFLIGHT {image.name} ({image.id})\n", "image"]
    parts.append(
        pairs(
            {
                "state": f"{image.state}, {model_image.image_status(image)}",
                "built": f"{image.created[:16].replace('T', ' ')}, {image.architecture}, {image.size_gib} GiB root",
                "instance type": ctx.recipe.instance.type,
                "rolled back before": image.tags.get("goldenami:rolled-back", "no"),
            }
        )
    )
    parts += ["\nnow", pairs(current_state(ctx, fleet_state))]
    if fleet_state.group is not None:
        parts.append(members(fleet_state))
    rows = differences(ctx, found.running, image)
    return [*parts, "\nwhat differs from what runs now", table(["", "RUNNING", "NEW"], rows)]


def rollback_plan(ctx: Context, found: RollbackPreflight, *, as_json: bool) -> str:
    """What a rollback would do, and why there."""
    image = found.target.image
    if as_json:
        told: dict[str, Any] = {"to": image.id, "name": image.name, "reason": found.target.reason}
        told |= {"disagreements": list(found.drift), "preflight": facts(ctx, found.preflight)}
        return json.dumps(told, ensure_ascii=False, default=dict)
    lines = [f"ROLLBACK to {image.name} ({image.id}): {found.target.reason}"]
    if found.drift:
        lines += ["\nparts do not agree; this repairs it", *(f"  - {text}" for text in found.drift)]
    active = found.preflight.fleet_state.active_refresh
    if active is not None:
        lines.append(f"\nfirst, the instance refresh {active.id} ({active.status}) is taken back")
    return "\n".join([*lines, "", page(ctx, found.preflight, as_json=False)])


def current_state(ctx: Context, fleet_state: FleetState) -> dict[str, str]:
    """The current state in a few lines."""
    pointer, template, group, active, trial = (
        fleet_state.pointer,
        fleet_state.template,
        fleet_state.group,
        fleet_state.active_refresh,
        fleet_state.canary,
    )
    told = {
        "pointer": f"{ctx.names.production} version {pointer.version}: {pointer.ami}" if pointer else "none yet",
        "template": (
            f"{template.name}: default {template.default}, latest {template.latest}" if template else "none yet"
        ),
        "group": (
            f"{group.name}: version {group.version}, min {group.min}, max {group.max}, desired {group.desired}"
            if group
            else "none"
        ),
        "refresh": f"{active.id} {active.status} {active.percent} % to version {active.version}" if active else "none",
        "can go back": _eligible(fleet_state),
    }
    if trial is not None:
        size, version = len(trial.group.members), trial.group.version
        told["trial"] = f"{trial.group.name}: version {version}, {size} instance(s), {trial.weight} % of the requests"
    return told


def members(fleet_state: FleetState) -> str:
    """The instances of the group."""
    assert fleet_state.group is not None
    rows = [
        [m.id, m.zone, str(m.version), m.image, m.lifecycle, m.target or "-", m.address, m.launched[:16], m.drifted]
        for m in fleet_state.group.members
    ]
    head = ["INSTANCE", "ZONE", "VERSION", "IMAGE", "STATE", "TARGET", "ADDRESS", "LAUNCHED", "DRIFT"]
    return table(head, rows) if rows else "  no instances"


def steps(ctx: Context, found: PromotionPreflight) -> Iterator[str]:
    """What will be done, in its order."""
    decided, group = found.plan, found.fleet_state.group
    names, wanted = ctx.names, found.request
    if found.fleet_state.template is None:
        yield f"make {names.launch_template} with {wanted.ami} as version 1"
    elif decided.version is None:
        yield f"make a version of {names.launch_template} from version {decided.source}, with {wanted.ami}"
    roll, trial = decided.refresh_preferences, found.fleet_state.canary
    version = f"version {decided.version}" if decided.version else "the new version"
    if roll is not None and group is not None and wanted.transfers_data:
        yield f"launch one instance with {version} beside {group.name}; it has to be healthy with an empty database"
        how = "back its rows up, restore and compare them on the new one"
        if ctx.recipe.database.on_volume:
            how = "bring its volume to the new one, which checks it"
        yield f"stop writes on the old one; {how}; it takes the traffic"
        yield f"watch the new one for {seconds(wanted.watch)}; if it fails, carry today's rows back; else the old one goes"
    elif roll is not None and group is not None:
        if decided.traffic:
            about = estimate_traffic_shift(len(decided.traffic), wanted.watch)
            yield (
                f"launch {group.desired} {ctx.recipe.instance.type} of {version} beside the fleet ({names.canary_group}), for"
                f" about {seconds(about + estimate_refresh(group.desired, roll))}"
            )
            shares = ", then ".join(f"{step} %" for step in decided.traffic)
            yield f"send them {shares} of the requests, each watched for {seconds(wanted.watch)}"
        if decided.adopt:
            yield f"go on with the instance refresh {decided.adopt} to {version}"
        else:
            spare = surge_capacity(group.desired, roll, (), 0).instances
            about = estimate_refresh(group.desired, roll)
            yield (
                f"renew {group.desired} instance(s) of {group.name} with {version}: never fewer than"
                f" {group.desired} in service, up to {spare} {ctx.recipe.instance.type} more for about"
                f" {seconds(about)}"
            )
        part = canary_count(group.desired, roll)
        if roll.checkpoints:
            yield f"watch the first {part} of {group.desired} for {seconds(roll.delay)}, then the others"
        elif not decided.traffic:
            yield f"watch the new beside the old for {seconds(max(roll.warmup, roll.bake_time))}"
        yield "on a red gate: everything back as it was, and exit code 5"
    if decided.traffic or trial:
        yield f"send all requests to {names.group} again, and take {names.canary_group} away"
    if decided.default:
        yield f"make {version} the default of {names.launch_template}"
    if decided.publish:
        yield f"point {names.production} at {wanted.ami}"


def needed(ctx: Context, found: PromotionPreflight) -> dict[str, str]:
    """What runs beside the fleet while it is renewed, the account's room for it, and its price."""
    decided, group, room, kind = found.plan, found.fleet_state.group, found.quota, ctx.recipe.instance.type
    if decided.refresh_preferences is None or group is None:
        return {}
    needs = surge_capacity(group.desired, decided.refresh_preferences, decided.traffic, found.request.watch)
    told = {"instances": f"up to {needs.instances} {kind} more, about {needs.instance_hours:.2f} instance-hours"}
    if room is not None:
        most = "an unknown number of" if room.quota is None else str(room.quota)
        told["room"] = f"{room.used} of {most} vCPUs run; up to {needs.instances * room.vcpus_per_instance} more"
    dollars = needs.dollars(ctx.aws.region, kind)
    told["cost"] = (
        f"no price of {kind} in {ctx.aws.region} is known"
        if dollars is None
        else f"about ${dollars:.4f} (prices of {prices.as_of():%Y-%m}), and the volumes of those instances"
    )
    return told


def differences(ctx: Context, running: Image | None, image: Image) -> list[list[str]]:
    """What is not the same in the image that runs and in the new one."""
    rows = []
    for title, tag in _COMPARED:
        rows.append([title, running.tags.get(tag, "-") if running else "-", image.tags.get(tag, "-")])
    rows.append(["size", f"{running.size_gib} GiB" if running else "-", f"{image.size_gib} GiB"])
    rows = [[title, *(value[:20] for value in values)] for title, *values in rows]
    return [*rows, *_packages(ctx, running, image)]


def _eligible(fleet_state: FleetState) -> str:
    group = fleet_state.group
    if group is None:
        return "no group: by the parameter's history"
    if group.number is None:
        return f"NO: the group launches {group.version}"
    source = fleet_state.source_version
    if source is not None and not source.image.startswith("ami-"):
        return f"NO: the group launches {source.image}"
    return f"yes: to version {group.number} with {source.image if source else 'its image'}"


def _packages(ctx: Context, running: Image | None, image: Image) -> list[list[str]]:
    """Packages that differ, as far as this checkout baked both images and keeps their manifests."""
    before, after = _manifest(ctx, running), _manifest(ctx, image)
    if before is None or after is None:
        return []
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if not changed:
        return [["packages", f"{len(before)}", "the same"]]
    rows = [[f"  {name}", before.get(name, "-"), after.get(name, "-")] for name in changed[:30]]
    return [["packages", f"{len(before)}", f"{len(changed)} changed"], *rows]


def _manifest(ctx: Context, image: Image | None) -> dict[str, str] | None:
    if image is None:
        return None
    identity = image.tags.get(model_image.RUN, "unknown")
    run = RunFolder(identity, ctx.build / identity)
    path = run.folder / "manifest.json"
    if not path.exists():
        return None
    listed = json.loads(path.read_text(encoding="utf-8")).get("packages", [])
    return {package["name"]: package["version"] for package in listed} or None


def facts(ctx: Context, found: PromotionPreflight) -> dict[str, Any]:
    """The same for scripts."""
    image, fleet_state, decided = found.request.image, found.fleet_state, found.plan
    assert image is not None
    return {
        "image": {"id": image.id, "name": image.name, "state": image.state, "verified": image.verified},
        "now": current_state(ctx, fleet_state),
        "instances": [asdict(m) for m in fleet_state.group.members] if fleet_state.group else [],
        "running": found.running.id if found.running else None,
        "differences": differences(ctx, found.running, image),
        "steps": list(steps(ctx, found)),
        "needs": needed(ctx, found),
        "plan": asdict(decided),
        "notes": list(decided.warnings),
        "refusals": list(decided.blockers),
        "unchanged": decided.unchanged,
    }
