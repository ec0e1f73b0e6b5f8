"""Turn what prune and retire decided and did into what the tasks print, for people and as JSON."""

from __future__ import annotations

import json
from typing import Any

from goldenami.context import Shop
from goldenami.images.prune import Pruned
from goldenami.images.prune_plan import Verdict, counts
from goldenami.images.retire import Retired
from goldenami.summary import table

_DONE = {"deprecate": "deprecated", "deregister": "deregistered", "restore": "kept again", "keep": "kept"}


def pruned(shop: Shop, result: Pruned, *, plan_only: bool, as_json: bool) -> str:
    """Every image with what was (or would be) done about it, and why."""
    if as_json:
        return json.dumps(
            {
                "plan_only": plan_only,
                "images": [_facts(shop, verdict, result) for verdict in result.verdicts],
                "deleted_snapshots": dict(result.snapshots),
            },
            ensure_ascii=False,
        )
    if not result.verdicts:
        return "no images yet; ./invoke bake makes one"
    rows = [
        [
            _word(verdict, result, plan_only=plan_only),
            str(verdict.image.version(shop.name) or "-"),
            verdict.image.id,
            verdict.image.created[:10],
            result.held.get(verdict.image.id) or verdict.reason,
        ]
        for verdict in result.verdicts
    ]
    return table(["", "VERSION", "ID", "CREATED", "WHY"], rows)


def summary(result: Pruned) -> str:
    """One line for the end."""
    told = ", ".join(f"{number} {action}" for action, number in counts(result.verdicts))
    gone = f"; {len(result.snapshots)} snapshot(s) deleted" if result.snapshots else ""
    held = f"; {len(result.held)} stayed after all" if result.held else ""
    return f"\n{told or 'no images'}{gone}{held}"


def _word(verdict: Verdict, result: Pruned, *, plan_only: bool) -> str:
    if verdict.image.id in result.held:
        return "kept after all"
    if plan_only and verdict.action in ("deprecate", "deregister"):
        return f"would {verdict.action}"
    return _DONE.get(verdict.action, verdict.action)


def _facts(shop: Shop, verdict: Verdict, result: Pruned) -> dict[str, Any]:
    image = verdict.image
    return {
        "id": image.id,
        "name": image.name,
        "version": str(image.version(shop.name) or ""),
        "created": image.created,
        "action": "keep" if image.id in result.held else verdict.action,
        "reason": result.held.get(image.id) or verdict.reason,
        "named_by": [{"kind": reference.kind, "by": reference.by} for reference in verdict.by],
        "snapshots": list(image.snapshots),
    }


def retired(result: Retired, *, plan_only: bool, as_json: bool) -> str:
    """What was (or would be) marked as bad."""
    done = result.done
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
