"""Reports of the commands that work on images: list, prune, retire, copy, sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from goldenami.bake.model import SweepResult
from goldenami.context import Context
from goldenami.images.copy_plan import destination_name
from goldenami.images.model import CatalogEntry, CopyResult, PruneResult, RetireResult, TrimResult
from goldenami.images.prune_plan import RetentionDecision, counts
from goldenami.text import Report, minute, table

_ACTIONS = {"deprecate": "deprecated", "deregister": "deregistered", "restore": "restored", "keep": "kept"}
_NO_IMAGES = "no images yet; create one with ./invoke bake"


def images(entries: Sequence[CatalogEntry]) -> Report:
    """Return the list of images."""
    facts = [
        {**asdict(e.image), "version": str(e.version or ""), "status": e.status, "candidate": e.candidate}
        for e in entries
    ]
    rows = [
        [
            str(e.version or "-"),
            e.image.id,
            e.status + (" (candidate)" if e.candidate else ""),
            minute(e.image.created),
            f"{e.image.size_gib} GiB",
            e.image.name,
        ]
        for e in entries
    ]
    return Report(facts, table(["VERSION", "ID", "STATUS", "CREATED", "SIZE", "NAME"], rows) if rows else _NO_IMAGES)


def pruned(ctx: Context, result: PruneResult, *, plan_only: bool) -> Report:
    """Return the decision about every image, and its reason."""
    facts = {
        "plan_only": plan_only,
        "images": [_decision(ctx, decision, result) for decision in result.decisions],
        "deleted_snapshots": dict(result.snapshots),
    }
    rows = [
        [
            _action(decision, result, plan_only=plan_only),
            str(decision.image.version(ctx.name) or "-"),
            decision.image.id,
            decision.image.created[:10],
            result.kept.get(decision.image.id) or decision.reason,
        ]
        for decision in result.decisions
    ]
    return Report(facts, table(["ACTION", "VERSION", "ID", "CREATED", "REASON"], rows) if rows else _NO_IMAGES)


def prune_summary(result: PruneResult) -> str:
    """Return the number of images by action, in one line."""
    actions = ", ".join(f"{number} {action}" for action, number in counts(result.decisions))
    snapshots = f"; {len(result.snapshots)} snapshot(s) deleted" if result.snapshots else ""
    kept = f"; {len(result.kept)} kept because they are in use now" if result.kept else ""
    return f"\n{actions or 'no images'}{snapshots}{kept}"


def _action(decision: RetentionDecision, result: PruneResult, *, plan_only: bool) -> str:
    if decision.image.id in result.kept:
        return "kept (in use now)"
    if plan_only and decision.action in ("deprecate", "deregister"):
        return f"would {decision.action}"
    return _ACTIONS.get(decision.action, decision.action)


def _decision(ctx: Context, decision: RetentionDecision, result: PruneResult) -> dict[str, Any]:
    image = decision.image
    return {
        "id": image.id,
        "name": image.name,
        "version": str(image.version(ctx.name) or ""),
        "created": image.created,
        "action": "keep" if image.id in result.kept else decision.action,
        "reason": result.kept.get(image.id) or decision.reason,
        "referenced_by": [{"kind": reference.kind, "by": reference.by} for reference in decision.referenced_by],
        "snapshots": list(image.snapshots),
    }


def retired(result: RetireResult, *, plan_only: bool) -> Report:
    """Return the images that were (or would be) retired."""
    plan, candidate = result.plan, result.plan.candidate
    facts = {
        "retired": [{"id": image.id, "name": image.name} for image in plan.images],
        "candidate": candidate.id if candidate else None,
        "warnings": plan.warnings,
    }
    action, becomes = ("would retire", "would become") if plan_only else ("retired", "is")
    lines = [f"{action} {image.name} ({image.id})" for image in reversed(plan.images)]
    if not lines:
        lines = [f"{result.image.name} ({result.image.id}) is already retired: {result.image.retired}"]
    if candidate:
        lines.append(f"{candidate.name} ({candidate.id}) {becomes} the candidate")
    return Report(facts, "\n".join([*lines, *(f"warning: {warning}" for warning in plan.warnings)]))


def swept(result: SweepResult, trimmed: TrimResult, *, plan_only: bool) -> Report:
    """Return the orphaned resources and launch template versions that were (or would be) deleted or kept."""
    versions = {decision.version.number: decision.reason for decision in trimmed.versions}
    facts = {
        "deleted": [asdict(resource) for resource in result.removable],
        "kept": [asdict(resource) for resource in result.kept],
        "template_versions": versions,
        "busy": trimmed.busy,
    }
    action = "would delete" if plan_only else "deleted"
    rows = [[action, r.kind, r.id, r.run_id, r.detail] for r in result.removable]
    rows += [["kept (may be running)", r.kind, r.id, r.run_id, r.detail] for r in result.kept]
    action = "kept (locked)" if trimmed.busy else action
    unused = [str(number) for number, reason in versions.items() if not reason]
    rows += [[action, "launch template version", number, "", trimmed.busy or "unused"] for number in unused]
    return Report(facts, table(["ACTION", "KIND", "ID", "RUN", "DETAIL"], rows) if rows else "no orphaned resources")


def copied(result: CopyResult, *, plan_only: bool) -> Report:
    """Return the copy in each destination, and the remaining steps."""
    copies, rows = [], []
    for status in result.copies:
        ami = status.state.image.id if status.state.image else None
        where = {"region": status.copy.region, "profile": status.copy.profile}
        copies.append({**where, "ami": ami, "remaining_steps": list(status.steps)})
        remaining = f"remaining: {', '.join(status.steps)}" if status.steps else "complete"
        rows.append([destination_name(status.copy), ami or "-", remaining])
    facts = {"source": result.source.id, "name": result.source.name, "plan_only": plan_only, "copies": copies}
    return Report(facts, table(["DESTINATION", "AMI", f"COPY OF {result.source.name}"], rows))
