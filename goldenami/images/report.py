"""Turn what prune and retire decided and did into what the tasks print, for people and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from goldenami.bake.model import SweepResult
from goldenami.context import Context
from goldenami.images.copy_plan import destination_name
from goldenami.images.model import CatalogEntry, CopyResult, PruneResult, RetireResult, TrimResult
from goldenami.images.prune_plan import RetentionDecision, counts
from goldenami.text import table

_ACTIONS = {"deprecate": "deprecated", "deregister": "deregistered", "restore": "kept again", "keep": "kept"}


def pruned(ctx: Context, result: PruneResult, *, plan_only: bool, as_json: bool) -> str:
    """Every image with what was (or would be) done about it, and why."""
    if as_json:
        return json.dumps(
            {
                "plan_only": plan_only,
                "images": [_facts(ctx, verdict, result) for verdict in result.decisions],
                "deleted_snapshots": dict(result.snapshots),
            },
            ensure_ascii=False,
        )
    if not result.decisions:
        return "no images yet; ./invoke bake makes one"
    rows = [
        [
            _action(verdict, result, plan_only=plan_only),
            str(verdict.image.version(ctx.name) or "-"),
            verdict.image.id,
            verdict.image.created[:10],
            result.kept.get(verdict.image.id) or verdict.reason,
        ]
        for verdict in result.decisions
    ]
    return table(["", "VERSION", "ID", "CREATED", "WHY"], rows)


def summary(result: PruneResult) -> str:
    """One line for the end."""
    told = ", ".join(f"{number} {action}" for action, number in counts(result.decisions))
    gone = f"; {len(result.snapshots)} snapshot(s) deleted" if result.snapshots else ""
    held = f"; {len(result.kept)} stayed after all" if result.kept else ""
    return f"\n{told or 'no images'}{gone}{held}"


def _action(verdict: RetentionDecision, result: PruneResult, *, plan_only: bool) -> str:
    if verdict.image.id in result.kept:
        return "kept after all"
    if plan_only and verdict.action in ("deprecate", "deregister"):
        return f"would {verdict.action}"
    return _ACTIONS.get(verdict.action, verdict.action)


def _facts(ctx: Context, verdict: RetentionDecision, result: PruneResult) -> dict[str, Any]:
    image = verdict.image
    return {
        "id": image.id,
        "name": image.name,
        "version": str(image.version(ctx.name) or ""),
        "created": image.created,
        "action": "keep" if image.id in result.kept else verdict.action,
        "reason": result.kept.get(image.id) or verdict.reason,
        "named_by": [{"kind": reference.kind, "by": reference.by} for reference in verdict.referenced_by],
        "snapshots": list(image.snapshots),
    }


def retired(result: RetireResult, *, plan_only: bool, as_json: bool) -> str:
    """What was (or would be) marked as bad."""
    done = result.plan
    if as_json:
        candidate = done.candidate.id if done.candidate else None
        marked = [{"id": one.id, "name": one.name} for one in done.images]
        return json.dumps({"retired": marked, "candidate": candidate, "warnings": done.warnings}, ensure_ascii=False)
    word = "would retire" if plan_only else "retired"
    lines = [f"{word} {one.name} ({one.id})" for one in reversed(done.images)]
    if not lines:
        lines = [f"{result.image.name} ({result.image.id}) is retired already: {result.image.retired}"]
    if done.candidate:
        told = "would become" if plan_only else "is"
        lines.append(f"{done.candidate.name} ({done.candidate.id}) {told} the candidate")
    return "\n".join([*lines, *(f"note: {warning}" for warning in done.warnings)])


def images(entries: list[CatalogEntry], *, as_json: bool) -> str:
    """The list of AMIs."""
    if as_json:
        rows = [
            {**asdict(e.image), "version": str(e.version or ""), "status": e.status, "candidate": e.candidate}
            for e in entries
        ]
        return json.dumps(rows, ensure_ascii=False, default=dict)
    if not entries:
        return "no images yet; ./invoke bake makes one"
    return table(
        ["VERSION", "ID", "STATUS", "CREATED", "SIZE", "NAME"],
        [
            [
                str(e.version or "-"),
                e.image.id,
                e.status + (" (candidate)" if e.candidate else ""),
                e.image.created[:16].replace("T", " "),
                f"{e.image.size_gib} GiB",
                e.image.name,
            ]
            for e in entries
        ],
    )


def swept(found: SweepResult, trimmed: TrimResult, *, plan_only: bool, as_json: bool) -> str:
    """What a sweep removed (or would remove) and what it left alone."""
    versions = {judged.version.number: judged.reason for judged in trimmed.versions}
    if as_json:
        told = {"removed": [asdict(i) for i in found.removable], "kept": [asdict(i) for i in found.kept]}
        return json.dumps({**told, "template_versions": versions, "busy": trimmed.busy}, ensure_ascii=False)
    done = "would remove" if plan_only else "removed"
    rows = [[done, i.kind, i.id, i.run_id, i.detail] for i in found.removable]
    rows += [["kept (may be alive)", i.kind, i.id, i.run_id, i.detail] for i in found.kept]
    word = "kept (busy)" if trimmed.busy else done
    rows += [
        [word, "template version", str(n), "", trimmed.busy or "of no use any more"]
        for n in versions
        if not versions[n]
    ]
    return table(["", "KIND", "ID", "RUN", "DETAIL"], rows) if rows else "nothing was left behind"


def copied(found: CopyResult, *, plan_only: bool, as_json: bool) -> str:
    """Each place with its copy, and what is still to be done there."""
    if as_json:
        return json.dumps(
            {
                "source": found.source.id,
                "name": found.source.name,
                "plan_only": plan_only,
                "copies": [
                    {
                        "region": journey.copy.region,
                        "profile": journey.copy.profile,
                        "ami": journey.state.image.id if journey.state.image else None,
                        "to_do": list(journey.steps),
                    }
                    for journey in found.copies
                ],
            },
            ensure_ascii=False,
        )
    rows = [
        [
            destination_name(journey.copy),
            journey.state.image.id if journey.state.image else "-",
            ("to do: " + ", ".join(journey.steps)) if journey.steps else "done",
        ]
        for journey in found.copies
    ]
    return table(["PLACE", "COPY", f"OF {found.source.name}"], rows)
