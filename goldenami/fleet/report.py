"""Reports of the fleet: resources, status, instances, results of create, destroy and update."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from goldenami.context import Context
from goldenami.database import release_plan
from goldenami.fleet.model import (
    PROMOTIONS_SHOWN,
    Assessment,
    CandidateSchema,
    FleetObservation,
    FleetResource,
    FleetResult,
    FleetStatus,
    UpdateResult,
)
from goldenami.model.fleet import FleetInstance
from goldenami.promote import preflight_report
from goldenami.promote.rollback_plan import choose_target
from goldenami.text import Report, bullets, minute, pairs, table

_ACTIONS = {
    "create": {True: "keep", False: "create"},
    "show": {True: "exists", False: "missing"},
    "destroy": {True: "delete", False: "-"},
}


def resources(resources: Sequence[FleetResource], action: Literal["create", "show", "destroy"]) -> Report:
    """Return the resources of the fleet, with the action for each."""
    rows = []
    for resource in resources:
        kept = resource.kept and resource.exists and action == "destroy"
        word = "keep" if kept else _ACTIONS[action][resource.exists]
        rows.append([word, resource.kind, resource.name, resource.detail])
    head = ["STATUS" if action == "show" else "ACTION", "KIND", "NAME", "DETAIL"]
    return Report([asdict(resource) for resource in resources], table(head, rows))


def created(ctx: Context, result: FleetResult) -> Report:
    """Return the fleet that `fleet.create` created or updated."""
    group, image = result.group, result.image
    summary = {
        "address": f"{result.address}/",
        "image": f"{image.name} ({image.id})",
        "template": f"{ctx.names.launch_template} version {group.version}",
        "group": f"{group.name}: min {group.min}, max {group.max}, desired {group.desired}",
        "instances": ", ".join(f"{m.id} ({m.zone}, {m.address})" for m in group.members),
        "next": "./invoke status",
    }
    facts = {
        "address": result.address,
        "group": group.name,
        "template": ctx.names.launch_template,
        "version": group.number,
        "ami": image.id,
        "instances": [asdict(member) for member in group.members],
        "run": result.run,
    }
    return Report(facts, result.address, f"\nthe fleet is in service\n{pairs(summary)}\n")


def destroyed(names: Sequence[str]) -> Report:
    """Return the names of the resources that `fleet.destroy` deleted."""
    return Report({"deleted": list(names)}, f"deleted {', '.join(names)}" if names else "nothing to delete")


def status(ctx: Context, status: FleetStatus) -> Report:
    """Return the status of the fleet: is it serving, what is under way, what differs, what comes next; then the details."""
    observed, assessment = status.observation, status.assessment
    fleet_state, data, promotions = observed.fleet_state, status.data, _promotions(observed)
    current = {**preflight_report.current_state(ctx, fleet_state), "rollback": _rollback_target(observed)}
    facts = {
        "service": {key: getattr(assessment, key) for key in ("state", "since", "event", "evidence")},
        "under_way": list(assessment.under_way),
        "drift": [difference.text for difference in assessment.drift],
        "next": assessment.next,
        "current": current,
        "address": status.address,
        "instances": [asdict(member) for member in fleet_state.group.members] if fleet_state.group else [],
        "candidate": _candidate_facts(status.candidate),
        "data": {**data.facts, "kind": data.kind, "name": data.name} if data else None,
        "lock": {**asdict(observed.lock), "stale": observed.lock_is_stale} if observed.lock else None,
        "write_freeze": asdict(observed.freeze) if observed.freeze else None,
        "switchover": asdict(observed.switchover) if observed.switchover else None,
        "promotions": promotions,
        "failed_promotions": list(status.failed_promotions),
    }
    lines = dict(current)
    if fleet_state.pointer:
        lines["pointer"] += f" ({_name(observed, fleet_state.pointer.ami, 'the image does not exist')})"
    if status.address:
        lines["address"] = status.address
    if data:
        lines[data.kind] = f"{data.name}: {data.detail or 'not created'}"
    if (candidate := status.candidate) and (summary := release_plan.summary(candidate.change)):
        lines["candidate"] = f"{candidate.image.name} ({candidate.image.id}) {summary}"
    parts = [headline(assessment), *bullets("Under way", assessment.under_way)]
    parts += bullets("DRIFT", [difference.text for difference in assessment.drift]) or ["\nno drift"]
    parts += [f"\nNext: {assessment.next or 'nothing to do'}", "", pairs(lines)]
    if fleet_state.group:
        parts += ["", preflight_report.group_instances(fleet_state)]
    if promotions:
        rows = [
            [str(p["version"]), minute(p["when"]), p["name"] or p["ami"], ",".join(p["labels"]), p["by"], p["why"]]
            for p in promotions
        ]
        parts += ["\nPromotions", table(["#", "WHEN", "IMAGE", "LABEL", "BY", "WHY"], rows)]
    if status.failed_promotions:
        rows = [[minute(p["when"]), _name(observed, p["to_ami"]), p["why"]] for p in status.failed_promotions]
        parts += ["\nFailed promotions (this checkout)", table(["WHEN", "IMAGE", "WHY"], rows)]
    return Report(facts, "\n".join(parts))


def headline(assessment: Assessment) -> str:
    """Return the first line of the status: whether users are served, since when, and what was seen."""
    state = assessment.state.replace("not", "NOT")
    since = f" since {minute(assessment.since)} ({assessment.event})" if assessment.since else ""
    return f"{state}{since}, as seen now: {assessment.evidence}"


def _rollback_target(observed: FleetObservation) -> str:
    target = choose_target(observed.fleet_state, observed.images)
    return f"to {target.image.name} ({target.image.id}), {target.reason}" if target else "no earlier image to return to"


def _candidate_facts(candidate: CandidateSchema | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {"ami": candidate.image.id, "name": candidate.image.name, "migrations": asdict(candidate.change)}


def _promotions(observed: FleetObservation) -> list[dict[str, Any]]:
    promotions = []
    for pointer in [*reversed(observed.fleet_state.history)][:PROMOTIONS_SHOWN]:
        note = _note(pointer.note)
        promotions.append(
            {
                "version": pointer.version,
                "ami": pointer.ami,
                "name": _name(observed, pointer.ami, ""),
                "when": pointer.modified,
                "labels": list(pointer.labels),
                **{key: str(note.get(key, "")) for key in ("by", "why", "refresh", "run")},
            }
        )
    return promotions


def _name(observed: FleetObservation, ami: str, default: str | None = None) -> str:
    image = observed.images.get(ami)
    return image.name if image else ami if default is None else default


def _note(text: str) -> Mapping[str, Any]:
    try:
        note = json.loads(text)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def instances(instances: Sequence[FleetInstance]) -> Report:
    """Return the list of the fleet's instances."""
    head = ["INSTANCE", "STATE", "ZONE", "ADDRESS", "IMAGE", "VERSION", "GROUP", "TARGET", "LAUNCHED", "DRIFT"]
    rows = [
        [
            i.id,
            i.state,
            i.zone,
            i.address,
            i.image,
            str(i.version or "-"),
            i.lifecycle or "-",
            i.target or "-",
            i.launched[:16],
            i.drifted,
        ]
        for i in instances
    ]
    empty = "no instances; create one with ./invoke fleet.create or ./invoke deploy"
    return Report([asdict(instance) for instance in instances], table(head, rows) if rows else empty)


def updated(results: Sequence[UpdateResult]) -> str:
    """Return the commits of each updated instance, before and after."""
    rows = [[result.instance.id, result.before[:12], result.after[:12]] for result in results]
    return table(["INSTANCE", "FROM", "TO"], rows)
