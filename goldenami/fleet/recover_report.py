"""Reports of recover: what was found, what is done, from when the rows are, and what may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from goldenami.context import Context
from goldenami.database.backup_model import Manifest
from goldenami.fleet.recover_plan import RecoverPreflight, RecoverResult, RecoveryPlan, RecoveryState
from goldenami.text import Report, bullets, minute, numbered, pairs


def preflight(ctx: Context, preflight: RecoverPreflight) -> Report:
    """Return the plan of a recovery: instances, steps, rows, and what would be given up."""
    state, plan = preflight.state, preflight.plan
    steps = list(_steps(ctx, state, plan))
    lines = {
        instance.id: f"{instance.state}, {'serving' if instance.serving else 'NOT serving'}"
        for instance in state.instances
    }
    lines |= {member: "terminated" for member in state.members if member not in lines}
    lines["rows"] = rows(state, plan)
    facts = {
        "action": plan.action,
        "instances": list(plan.instances),
        "rows": lines["rows"],
        "steps": steps,
        "losses": list(plan.losses),
        "blockers": list(plan.blockers),
        "backup": state.backup.id if state.backup else None,
        "image": state.image.id if state.image else None,
    }
    parts = (
        [pairs(lines), "\nSteps", *numbered(steps)]
        if steps
        else [pairs(lines), "\nthe fleet is in service: nothing to do"]
    )
    parts += bullets("Notes", [*state.damaged, *([state.image_note] if state.image_note else [])])
    parts += bullets("GIVEN UP (needs --lose-data, or a confirmation on a terminal)", plan.losses)
    return Report(facts, "\n".join([*parts, *bullets("REFUSED", plan.blockers)]))


def recovered(result: RecoverResult) -> Report:
    """Return the result of a recovery."""
    plan, image = result.plan, result.image
    text = _of_backup(result.backup, final=plan.rows == "instance") if result.backup else _WHERE[plan.rows]
    summary = {"instances": ", ".join(result.instances) or "none", "rows": text, "next": "./invoke status"}
    if image is not None:
        summary["image"] = f"{image.name} ({image.id})"
    if result.image_note:
        summary["note"] = result.image_note
    title = "the fleet was in service: nothing was done" if plan.action == "none" else "recovered"
    facts = {
        "action": plan.action,
        "instances": list(result.instances),
        "ami": image.id if image else None,
        "rows": text,
        "backup": asdict(result.backup) if result.backup else None,
    }
    return Report(facts, "\n".join(result.instances), f"\n{title}\n{pairs(summary)}\n")


_WHERE = {
    "none": "unchanged",
    "instance": "those on the instance's disk: none is missing",
    "volume": "those on the data volume: none is missing",
    "external": "in the external database, which is not touched",
    "backup": "those of the newest backup",
}


def rows(state: RecoveryState, plan: RecoveryPlan) -> str:
    """Return whose rows will be served, from when they are, and what may be missing."""
    if plan.rows == "backup" and state.backup is not None:
        return _of_backup(state.backup, final=False)
    if plan.rows == "volume" and state.volume_lost:
        return f"those of the volume's snapshot of {minute(state.snapshot)} UTC; what was written after it is lost"
    if plan.rows == "none" and plan.action == "replace":
        return "none: the new database is empty"
    return _WHERE[plan.rows]


def _of_backup(manifest: Manifest, *, final: bool) -> str:
    count = f"{manifest.fingerprint.rows} row(s) of {minute(manifest.created)} UTC (backup {manifest.id})"
    if final:
        return f"{count}, taken from the instance after its writes were stopped: none is missing"
    return f"{count}; what was written after that is lost"


def _steps(ctx: Context, state: RecoveryState, plan: RecoveryPlan) -> Iterator[str]:
    which, data = ", ".join(plan.instances), ctx.recipe.database
    if plan.action in ("start", "restart"):
        yield f"{plan.action} {which}, whose disk has the rows; they are served as they are"
        yield "if it does not serve then: back up its rows, and replace it by a new instance with them"
    elif plan.action == "restore":
        yield f"restore the backup on {which}, which serves with an empty database, and compare every table"
    elif plan.action == "replace":
        image = f"{state.image.name} ({state.image.id})" if state.image else "no image"
        if plan.rows == "instance":
            yield f"stop writes on {which}, which does not serve, and back up its rows"
        if state.volume_lost:
            yield "create the data volume again" + (f" from its snapshot of {state.snapshot}" if state.snapshot else "")
        yield f"launch one instance of {image}"
        if data.on_volume and plan.rows == "volume":
            yield "attach the data volume to it, which is checked"
        if plan.rows in ("instance", "backup"):
            yield "restore the backup on it and compare every table, before it receives traffic"
        yield f"it takes the address of {which or 'the lost instance'}: group, target group, Elastic IP"
