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
from goldenami.promote.plan import Preflight
from goldenami.rollout.plan import canary_count, estimate_refresh, estimate_traffic_shift, surge_capacity
from goldenami.state.run_model import RunFolder
from goldenami.text import pairs, seconds, table

if TYPE_CHECKING:
    from goldenami.promote.model import RollbackPreflight


_COMPARED = (("version", "Version"), ("Go", "Go"), ("PostgreSQL", "PostgreSQL"), ("app commit", model_image.COMMIT))


def page(shop: Context, found: Preflight, *, as_json: bool) -> str:
    """The preflight: what is, what differs, what would be done, and what forbids it."""
    if as_json:
        return json.dumps(facts(shop, found), ensure_ascii=False, default=dict)
    decided = found.plan
    parts = [*about(shop, found), "\nwhat will be done"]
    parts += [f"  {number}. {step}" for number, step in enumerate(steps(shop, found), 1)] or [
        "  nothing: it is so already"
    ]
    if told := needed(shop, found):
        parts += ["\nmeanwhile", pairs(told)]
    return "\n".join([*parts, *verdict(decided.notes, decided.refusals)])


def verdict(notes: Sequence[str], refusals: Sequence[str]) -> list[str]:
    """What is worth knowing, and what forbids it."""
    parts = ["\nnotes", *(f"  - {text}" for text in notes)] if notes else []
    return [*parts, "\nREFUSED", *(f"  - {text}" for text in refusals)] if refusals else parts


def about(shop: Context, found: Preflight) -> list[str]:
    """The image, the fleet now, and what differs between the two."""
    image, scene = found.wish.image, found.scene
    assert image is not None
    parts = [f"PREFLIGHT {image.name} ({image.id})\n", "image"]
    parts.append(
        pairs(
            {
                "state": f"{image.state}, {model_image.image_status(image)}",
                "built": f"{image.created[:16].replace('T', ' ')}, {image.architecture}, {image.size_gib} GiB root",
                "instance type": shop.recipe.instance.type,
                "rolled back before": image.tags.get("goldenami:rolled-back", "no"),
            }
        )
    )
    parts += ["\nnow", pairs(current_state(shop, scene))]
    if scene.group is not None:
        parts.append(members(scene))
    rows = differences(shop, found.running, image)
    return [*parts, "\nwhat differs from what runs now", table(["", "RUNNING", "NEW"], rows)]


def rollback_plan(shop: Context, found: RollbackPreflight, *, as_json: bool) -> str:
    """What a rollback would do, and why there."""
    image = found.choice.image
    if as_json:
        told: dict[str, Any] = {"to": image.id, "name": image.name, "reason": found.choice.reason}
        told |= {"disagreements": list(found.disagreements), "preflight": facts(shop, found.preflight)}
        return json.dumps(told, ensure_ascii=False, default=dict)
    lines = [f"ROLLBACK to {image.name} ({image.id}): {found.choice.reason}"]
    if found.disagreements:
        lines += ["\nparts do not agree; this repairs it", *(f"  - {text}" for text in found.disagreements)]
    active = found.preflight.scene.active
    if active is not None:
        lines.append(f"\nfirst, the instance refresh {active.id} ({active.status}) is taken back")
    return "\n".join([*lines, "", page(shop, found.preflight, as_json=False)])


def current_state(shop: Context, scene: FleetState) -> dict[str, str]:
    """The current state in a few lines."""
    pointer, template, group, active, trial = scene.pointer, scene.template, scene.group, scene.active, scene.trial
    told = {
        "pointer": f"{shop.names.production} version {pointer.version}: {pointer.ami}" if pointer else "none yet",
        "template": (
            f"{template.name}: default {template.default}, latest {template.latest}" if template else "none yet"
        ),
        "group": (
            f"{group.name}: version {group.version}, min {group.min}, max {group.max}, desired {group.desired}"
            if group
            else "none"
        ),
        "refresh": f"{active.id} {active.status} {active.percent} % to version {active.version}" if active else "none",
        "can go back": _eligible(scene),
    }
    if trial is not None:
        size, version = len(trial.group.members), trial.group.version
        told["trial"] = f"{trial.group.name}: version {version}, {size} instance(s), {trial.weight} % of the requests"
    return told


def members(scene: FleetState) -> str:
    """The instances of the group."""
    assert scene.group is not None
    rows = [
        [m.id, m.zone, str(m.version), m.image, m.lifecycle, m.target or "-", m.address, m.launched[:16], m.drifted]
        for m in scene.group.members
    ]
    head = ["INSTANCE", "ZONE", "VERSION", "IMAGE", "STATE", "TARGET", "ADDRESS", "LAUNCHED", "DRIFT"]
    return table(head, rows) if rows else "  no instances"


def steps(shop: Context, found: Preflight) -> Iterator[str]:
    """What will be done, in its order."""
    decided, group = found.plan, found.scene.group
    names, wanted = shop.names, found.wish
    if found.scene.template is None:
        yield f"make {names.template} with {wanted.ami} as version 1"
    elif decided.version is None:
        yield f"make a version of {names.template} from version {decided.source}, with {wanted.ami}"
    roll, trial = decided.roll, found.scene.trial
    version = f"version {decided.version}" if decided.version else "the new version"
    if roll is not None and group is not None and wanted.carried:
        yield f"launch one instance with {version} beside {group.name}; it has to be healthy with an empty database"
        how = "back its rows up, restore and compare them on the new one"
        if shop.recipe.database.on_volume:
            how = "bring its volume to the new one, which checks it"
        yield f"stop writes on the old one; {how}; it takes the traffic"
        yield f"watch the new one for {seconds(wanted.watch)}; if it fails, carry today's rows back; else the old one goes"
    elif roll is not None and group is not None:
        if decided.traffic:
            about = estimate_traffic_shift(len(decided.traffic), wanted.watch)
            yield (
                f"launch {group.desired} {shop.recipe.instance.type} of {version} beside the fleet ({names.trial}), for"
                f" about {seconds(about + estimate_refresh(group.desired, roll))}"
            )
            shares = ", then ".join(f"{step} %" for step in decided.traffic)
            yield f"send them {shares} of the requests, each watched for {seconds(wanted.watch)}"
        if decided.adopt:
            yield f"go on with the instance refresh {decided.adopt} to {version}"
        else:
            spare = surge_capacity(group.desired, roll, (), 0).most
            about = estimate_refresh(group.desired, roll)
            yield (
                f"renew {group.desired} instance(s) of {group.name} with {version}: never fewer than"
                f" {group.desired} in service, up to {spare} {shop.recipe.instance.type} more for about"
                f" {seconds(about)}"
            )
        part = canary_count(group.desired, roll)
        if roll.checkpoints:
            yield f"watch the first {part} of {group.desired} for {seconds(roll.delay)}, then the others"
        elif not decided.traffic:
            yield f"watch the new beside the old for {seconds(max(roll.warmup, roll.bake))}"
        yield "on a red gate: everything back as it was, and exit code 5"
    if decided.traffic or trial:
        yield f"send all requests to {names.group} again, and take {names.trial} away"
    if decided.default:
        yield f"make {version} the default of {names.template}"
    if decided.publish:
        yield f"point {names.production} at {wanted.ami}"


def needed(shop: Context, found: Preflight) -> dict[str, str]:
    """What runs beside the fleet while it is renewed, the account's room for it, and its price."""
    decided, group, room, kind = found.plan, found.scene.group, found.room, shop.recipe.instance.type
    if decided.roll is None or group is None:
        return {}
    needs = surge_capacity(group.desired, decided.roll, decided.traffic, found.wish.watch)
    told = {"instances": f"up to {needs.most} {kind} more, about {needs.hours:.2f} instance-hours"}
    if room is not None:
        most = "an unknown number of" if room.quota is None else str(room.quota)
        told["room"] = f"{room.used} of {most} vCPUs run; up to {needs.most * room.each} more"
    dollars = needs.dollars(shop.aws.region, kind)
    told["cost"] = (
        f"no price of {kind} in {shop.aws.region} is known"
        if dollars is None
        else f"about ${dollars:.4f} (prices of {prices.AS_OF:%Y-%m}), and the volumes of those instances"
    )
    return told


def differences(shop: Context, running: Image | None, image: Image) -> list[list[str]]:
    """What is not the same in the image that runs and in the new one."""
    rows = []
    for title, tag in _COMPARED:
        rows.append([title, running.tags.get(tag, "-") if running else "-", image.tags.get(tag, "-")])
    rows.append(["size", f"{running.size_gib} GiB" if running else "-", f"{image.size_gib} GiB"])
    rows = [[title, *(value[:20] for value in values)] for title, *values in rows]
    return [*rows, *_packages(shop, running, image)]


def _eligible(scene: FleetState) -> str:
    group = scene.group
    if group is None:
        return "no group: by the parameter's history"
    if group.number is None:
        return f"NO: the group launches {group.version}"
    if scene.source is not None and not scene.source.image.startswith("ami-"):
        return f"NO: the group launches {scene.source.image}"
    return f"yes: to version {group.number} with {scene.source.image if scene.source else 'its image'}"


def _packages(shop: Context, running: Image | None, image: Image) -> list[list[str]]:
    """Packages that differ, as far as this checkout baked both images and keeps their manifests."""
    before, after = _manifest(shop, running), _manifest(shop, image)
    if before is None or after is None:
        return []
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if not changed:
        return [["packages", f"{len(before)}", "the same"]]
    rows = [[f"  {name}", before.get(name, "-"), after.get(name, "-")] for name in changed[:30]]
    return [["packages", f"{len(before)}", f"{len(changed)} changed"], *rows]


def _manifest(shop: Context, image: Image | None) -> dict[str, str] | None:
    if image is None:
        return None
    identity = image.tags.get(model_image.RUN, "unknown")
    run = RunFolder(identity, shop.build / identity)
    path = run.folder / "manifest.json"
    if not path.exists():
        return None
    listed = json.loads(path.read_text(encoding="utf-8")).get("packages", [])
    return {package["name"]: package["version"] for package in listed} or None


def facts(shop: Context, found: Preflight) -> dict[str, Any]:
    """The same for scripts."""
    image, scene, decided = found.wish.image, found.scene, found.plan
    assert image is not None
    return {
        "image": {"id": image.id, "name": image.name, "state": image.state, "verified": image.verified},
        "now": current_state(shop, scene),
        "instances": [asdict(m) for m in scene.group.members] if scene.group else [],
        "running": found.running.id if found.running else None,
        "differences": differences(shop, found.running, image),
        "steps": list(steps(shop, found)),
        "needs": needed(shop, found),
        "plan": asdict(decided),
        "notes": list(decided.notes),
        "refusals": list(decided.refusals),
        "unchanged": decided.unchanged,
    }
