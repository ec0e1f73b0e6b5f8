"""What a rebuild leaves for people: the page before it, the report after it, and the notice to the team."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goldenami.context import Context
from goldenami.images.diff_plan import Difference
from goldenami.rebuild.notice_model import Notice
from goldenami.rebuild.record_model import RebuildRecord
from goldenami.state.run_model import RunFolder
from goldenami.text import pairs

if TYPE_CHECKING:
    from goldenami.rebuild.record_model import RebuildCheck, RebuildResult


# How many differences a notice tells one by one; the report has them all.
FEW = 20
NONE = {"added": "none", "removed": "there", "changed": "none"}


def page(ctx: Context, found: RebuildCheck, *, if_needed: bool, as_json: bool) -> str:
    """What a rebuild would do, and why."""
    if as_json:
        return json.dumps(
            {**_findings(ctx, found), "steps": steps(ctx, found, if_needed=if_needed)}, ensure_ascii=False
        )
    facts = {
        "candidate": file_name(found.inputs.candidate),
        "production or candidate": file_name(found.current),
        "package updates": found.packages,
        "tells": ", ".join(ctx.recipe.notify.places) or "nobody ([notify] names no place)",
    }
    why = [f"  - {reason.text}{'' if reason.seen else ' (assumed, not seen)'}" for reason in found.reasons]
    does = [f"  {number}. {step}" for number, step in enumerate(steps(ctx, found, if_needed=if_needed), 1)]
    return "\n".join([pairs(facts), "", "reasons", *(why or ["  - none"]), "", "what it does", *does])


def steps(ctx: Context, found: RebuildCheck, *, if_needed: bool) -> list[str]:
    """The steps, in words."""
    if found.unfinished:
        return [f"go on with the rebuild {found.unfinished.run}, which ended at: {found.unfinished.step}"]
    if if_needed and not found.reasons:
        return ["record that nothing has changed"]
    canary = ctx.recipe.promote.canary
    promotion = (
        f"promote it, {canary} % first"
        if ctx.recipe.rebuild.auto_promote
        else "leave the promotion to you (auto_promote)"
    )
    return [
        f"bake both layers afresh as {found.version}, with both gates, and publish it as {ctx.candidate}",
        f"compare it with {found.current.name if found.current else 'nothing'}",
        promotion,
        "let old images go, by the policy under [retention], and remove what dead runs left",
        "write the report and tell the team",
    ]


def summary(outcome: RebuildResult) -> str:
    """The end of a rebuild."""
    if outcome.unchanged:
        told = {"image": file_name(outcome.image), "package updates": outcome.check.packages}
        return f"\nnothing has changed; nothing was baked\n{pairs({**told, 'report': _report(outcome.run)})}\n"
    record = outcome.record
    facts = {
        "image": file_name(outcome.image),
        "because": "; ".join(record.reasons),
        "changed": "; ".join([*(change.line() for change in outcome.changes), *_counts(outcome)]) or "nothing",
        "production": "carried to the fleet" if record.promoted else "untouched",
        "told": ", ".join(record.notified) or "nobody",
        **({"not told": "; ".join(outcome.notify_failed)} if outcome.notify_failed else {}),
        "report": _report(outcome.run),
        "next": _next(record),
    }
    return f"\nrebuilt\n{pairs(facts)}\n"


def facts(ctx: Context, outcome: RebuildResult) -> str:
    """The same for scripts."""
    return json.dumps(record_facts(ctx, outcome), ensure_ascii=False)


def success(ctx: Context, outcome: RebuildResult) -> Notice:
    """The notice of a rebuild that went well, with what is different."""
    record = outcome.record
    told = [
        ("image", file_name(outcome.image)),
        ("because", "; ".join(record.reasons)),
        ("production", "carried to the fleet" if record.promoted else "untouched"),
        ("next", _next(record)),
    ]
    lines = [f"  {line}" for line in [*(change.line() for change in outcome.changes), *_counts(outcome)]]
    few = diff_lines(outcome)[:FEW]
    lines += [f"    {d.kind} {d.name}: {d.before or NONE[d.what]} → {d.after or d.what}" for d in few]
    lines += ["    …"] if len(diff_lines(outcome)) > FEW else []
    tidied = ["", "tidied up", *(f"  {what}" for what in outcome.removed)] if outcome.removed else []
    return Notice(
        "success",
        f"{ctx.name} {record.version} is baked and verified" + (" and in production" if record.promoted else ""),
        told,
        ["what changed", *(lines or ["  nothing"]), *tidied],
    )


def failure(ctx: Context, run: RunFolder, record: RebuildRecord) -> Notice:
    """The notice of a rebuild that failed, with the reason."""
    first, *rest = record.error.splitlines() or ["for no reason that it told"]
    told = [
        ("step", record.step),
        ("image", record.ami or "none was finished"),
        ("production", "carried to the fleet" if record.promoted else "as it was"),
        ("report", f"{_report(run)} on {record.by.partition('@')[2]}"),
    ]
    return Notice("failure", f"{ctx.name}: the rebuild failed: {first}", told, rest)


def _findings(ctx: Context, found: RebuildCheck) -> dict[str, Any]:
    return {
        "reasons": [asdict(reason) for reason in found.reasons],
        "package_updates": found.packages,
        "candidate": found.inputs.candidate.id if found.inputs.candidate else None,
        "before": found.current.id if found.current else None,
        "next_version": str(found.version),
        "unfinished": found.unfinished.run if found.unfinished else None,
        "tells": list(ctx.recipe.notify.places),
    }


def record_facts(ctx: Context, outcome: RebuildResult) -> dict[str, Any]:
    return {
        **asdict(outcome.record),
        "unchanged": outcome.unchanged,
        "image": outcome.image.id if outcome.image else None,
        "changes": [asdict(change) for change in outcome.changes],
        "inside": outcome.diff.facts() if outcome.diff else None,
        "removed": list(outcome.removed),
        "not_told": list(outcome.notify_failed),
        "folder": str(outcome.run.folder),
        "found": _findings(ctx, outcome.check),
    }


def diff_lines(outcome: RebuildResult) -> tuple[Difference, ...]:
    return outcome.diff.differences if outcome.diff else ()


def _counts(outcome: RebuildResult) -> list[str]:
    number = Counter((difference.kind, difference.what) for difference in diff_lines(outcome))
    return [f"{count} {kind}(s) {what}" for (kind, what), count in number.items()]


def _next(record: RebuildRecord) -> str:
    return "./invoke status" if record.promoted else f"./invoke promote --ami {record.ami} --plan"


def _report(run: RunFolder) -> str:
    return str(run.folder / "rebuild.md")


def file_name(image: Any) -> str:
    return f"{image.name} ({image.id})" if image else "none"
