"""Turn what the flows about the fleet return into what the tasks print, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from goldenami.context import Context
from goldenami.fleet.model import PROMOTIONS_SHOWN, FleetResource, FleetResult, FleetStatus, UpdateResult
from goldenami.model.fleet import FleetInstance
from goldenami.promote import preflight_report
from goldenami.text import pairs, table


def resources(found: Sequence[FleetResource], doing: Literal["create", "show", "destroy"], *, as_json: bool) -> str:
    """The parts of the fleet, with what would be done about each."""
    if as_json:
        return json.dumps([asdict(part) for part in found], ensure_ascii=False)
    words = {
        "create": {True: "keep", False: "make"},
        "show": {True: "there", False: "missing"},
        "destroy": {True: "remove", False: "-"},
    }[doing]
    rows = [
        ["keep" if p.kept and p.exists and doing == "destroy" else words[p.exists], p.kind, p.name, p.detail]
        for p in found
    ]
    return table(["", "KIND", "NAME", "DETAIL"], rows)


def created(ctx: Context, made: FleetResult) -> str:
    """The end of `fleet.create`."""
    group = made.group
    facts = {
        "serves at": f"{made.address}/",
        "image": f"{made.image.name} ({made.image.id})",
        "template": f"{ctx.names.launch_template} version {group.version}",
        "group": f"{group.name}: min {group.min}, max {group.max}, desired {group.desired}",
        "instances": ", ".join(f"{m.id} ({m.zone}, {m.address})" for m in group.members),
        "next": "./invoke status",
    }
    return f"\nthe fleet serves\n{pairs(facts)}\n"


def facts(ctx: Context, made: FleetResult) -> str:
    """The same for scripts."""
    told = {
        "address": made.address,
        "group": made.group.name,
        "template": ctx.names.launch_template,
        "version": made.group.number,
        "ami": made.image.id,
        "instances": [asdict(member) for member in made.group.members],
        "run": made.run,
    }
    return json.dumps(told, ensure_ascii=False)


def destroyed(gone: Sequence[str], *, as_json: bool) -> str:
    """The end of `fleet.destroy`."""
    if as_json:
        return json.dumps({"removed": list(gone)})
    return "removed " + ", ".join(gone) if gone else "there was nothing to remove"


def status(ctx: Context, found: FleetStatus, *, as_json: bool) -> str:
    """One screen, or JSON."""
    fleet_state = found.fleet_state
    history: list[dict[str, Any]] = [
        {
            "version": pointer.version,
            "ami": pointer.ami,
            "name": found.names.get(pointer.ami, ""),
            "when": pointer.modified,
            "labels": list(pointer.labels),
            **{key: _note(pointer.note).get(key, "") for key in ("by", "why", "refresh", "run")},
        }
        for pointer in reversed(fleet_state.history)
    ][:PROMOTIONS_SHOWN]
    if as_json:
        return json.dumps(
            {
                "now": preflight_report.current_state(ctx, fleet_state),
                "address": found.address,
                "instances": [asdict(m) for m in fleet_state.group.members] if fleet_state.group else [],
                "disagreements": list(found.drift),
                "data": {**found.data.facts, "home": found.data.kind, "name": found.data.name} if found.data else None,
                "claim": asdict(found.lock) | {"dead": found.lock_is_stale} if found.lock else None,
                "promotions": history,
                "refused": list(found.refused),
            },
            ensure_ascii=False,
            default=dict,
        )
    facts = preflight_report.current_state(ctx, fleet_state)
    if fleet_state.pointer is not None:
        facts["pointer"] += f" ({found.names.get(fleet_state.pointer.ami, 'not there any more!')})"
    if found.address:
        facts["serves at"] = found.address
    if found.data is not None:
        facts[found.data.kind] = f"{found.data.name}: {found.data.detail or 'none yet'}"
    if found.lock is not None:
        word = "DEAD: the next promote or rollback takes over" if found.lock_is_stale else "alive"
        facts["in progress"] = f"{found.lock.operation}, by {found.lock.holder} since {found.lock.since} ({word})"
    parts = [pairs(facts)]
    if fleet_state.group is not None:
        parts += ["", preflight_report.members(fleet_state)]
    parts += ["", "all parts agree" if not found.drift else "PARTS DO NOT AGREE (./invoke rollback repairs)"]
    parts += [f"  - {text}" for text in found.drift]
    if history:
        rows = [
            [
                str(h["version"]),
                str(h["when"])[:16],
                str(h["name"] or h["ami"]),
                ",".join(h["labels"]),
                h["by"],
                h["why"],
            ]
            for h in history
        ]
        parts += ["", "promotions", table(["#", "WHEN", "IMAGE", "LABEL", "BY", "WHY"], rows)]
    if found.refused:
        rows = [
            [line["when"][:16], found.names.get(line["went_to"], line["went_to"]), line["why"]]
            for line in found.refused
        ]
        parts += ["", "rolled back (this checkout)", table(["WHEN", "IMAGE", "WHY"], rows)]
    return "\n".join(parts)


def _note(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def instances(found: list[FleetInstance], *, as_json: bool) -> str:
    """The list, for people or scripts."""
    if as_json:
        return json.dumps([asdict(machine) for machine in found], ensure_ascii=False)
    if not found:
        return "no instances; ./invoke fleet.create or ./invoke deploy makes some"
    head = ["INSTANCE", "STATE", "ZONE", "ADDRESS", "IMAGE", "VERSION", "GROUP", "TARGET", "LAUNCHED", "DRIFT"]
    rows = [
        [
            m.id,
            m.state,
            m.zone,
            m.address,
            m.image,
            str(m.version or "-"),
            m.lifecycle or "-",
            m.target or "-",
            m.launched[:16],
            m.drifted,
        ]
        for m in found
    ]
    return table(head, rows)


def updated(done: Sequence[UpdateResult]) -> str:
    """The end of `update`."""
    rows = [[one.instance.id, one.before[:12], one.after[:12]] for one in done]
    return table(["INSTANCE", "FROM", "TO"], rows)
