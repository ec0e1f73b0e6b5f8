"""Reports and notices of a rebuild: plan, result, success, failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goldenami.context import Context
from goldenami.images.diff_plan import Difference
from goldenami.model.image import Image
from goldenami.rebuild.notice_model import Notice
from goldenami.rebuild.record_model import RebuildRecord
from goldenami.state.run_model import RunFolder
from goldenami.text import Report, bullets, markdown, markdown_table, numbered, pairs

if TYPE_CHECKING:
    from goldenami.rebuild.record_model import RebuildCheck, RebuildResult

_DIFFERENCES_IN_NOTICE = 20
_BEFORE = {"added": "none", "removed": "present", "changed": "none"}


def plan(ctx: Context, check: RebuildCheck, *, if_needed: bool) -> Report:
    """Return what a rebuild would do, and why."""
    planned = steps(ctx, check, if_needed=if_needed)
    about = {
        "candidate": _image(check.inputs.candidate),
        "production or candidate": _image(check.current),
        "package updates": check.packages,
        "notifies": ", ".join(ctx.recipe.notify.places) or "none ([notify] is empty)",
    }
    reasons = [f"{reason.text}{'' if reason.seen else ' (assumed)'}" for reason in check.reasons]
    parts = [pairs(about), *bullets("Reasons", reasons or ["none"]), "\nSteps", *numbered(planned)]
    return Report({**_check_facts(ctx, check), "steps": planned}, "\n".join(parts))


def steps(ctx: Context, check: RebuildCheck, *, if_needed: bool) -> list[str]:
    """Return the steps of a rebuild, in order."""
    if check.unfinished:
        return [f"continue the rebuild {check.unfinished.run}, which was interrupted at: {check.unfinished.step}"]
    if if_needed and not check.reasons:
        return ["record that nothing has changed"]
    promotes = ctx.recipe.rebuild.auto_promote
    return [
        f"bake both layers from scratch as {check.version}, run both gates, and publish the image as {ctx.candidate}",
        f"compare it with {check.current.name if check.current else 'nothing'}",
        *(["restore the newest backup to a temporary server"] if ctx.recipe.fleet.run_command else []),
        f"promote it, {ctx.recipe.promote.canary} % first" if promotes else "do not promote it (auto_promote is off)",
        "prune images by [retention], and delete resources left by crashed runs",
        "write the report and send the notification",
    ]


def rebuilt(ctx: Context, result: RebuildResult) -> Report:
    """Return the result of a rebuild."""
    text = result.image.id if result.image else ""
    if result.unchanged:
        about = {"image": _image(result.image), "package updates": result.check.packages, "report": _report(result.run)}
        return Report(facts(ctx, result), text, f"\nnothing has changed; nothing was baked\n{pairs(about)}\n")
    record = result.record
    about = {
        "image": _image(result.image),
        "reasons": "; ".join(record.reasons),
        "changes": "; ".join([*(change.line() for change in result.changes), *_counts(result)]) or "none",
        "production": _production(record),
        **({"newest backup": record.backup} if record.backup else {}),
        "notified": ", ".join(record.notified) or "none",
        **({"notification failed": "; ".join(result.notify_failed)} if result.notify_failed else {}),
        "report": _report(result.run),
        "next": _next(record),
    }
    return Report(facts(ctx, result), text, f"\nrebuilt\n{pairs(about)}\n")


def facts(ctx: Context, result: RebuildResult) -> dict[str, Any]:
    """Return the result of a rebuild as JSON data."""
    return {
        **asdict(result.record),
        "unchanged": result.unchanged,
        "image": result.image.id if result.image else None,
        "changes": [asdict(change) for change in result.changes],
        "diff": result.diff.facts() if result.diff else None,
        "removed": list(result.removed),
        "notify_failed": list(result.notify_failed),
        "folder": str(result.run.folder),
        "check": _check_facts(ctx, result.check),
    }


def success_page(ctx: Context, result: RebuildResult) -> str:
    """Return the Markdown report of a rebuild that succeeded."""
    record = result.record
    about = [
        ("Image", _image(result.image)),
        ("Before", _image(result.check.current)),
        ("Production", _production(record)),
        *([("Newest backup", record.backup)] if record.backup else []),
        ("Package updates before", result.check.packages),
        ("Notified", ", ".join(record.notified) or "none"),
        *([("Notification failed", "; ".join(result.notify_failed))] if result.notify_failed else []),
        ("Started, ended", f"{record.since} UTC, {record.ended}"),
        ("By", record.by),
        ("Run", record.run),
    ]
    sections = {"Reasons": [f"- {reason}" for reason in record.reasons] or ["- none"]}
    if not result.unchanged:
        rows = [[c.what, c.before or "none", c.after or "none"] for c in result.changes]
        rows += [[f"{d.kind} {d.name}", *_values(d)] for d in _differences(result)]
        unknown = [f"Unknown: {missing}." for missing in result.diff.missing] if result.diff else []
        sections["Changes"] = [*markdown_table(["what", "before", "after"], rows), "", *unknown]
        sections["Cleanup"] = [f"- {text}" for text in result.removed] or ["- nothing"]
    title = f"{ctx.name}: {'nothing has changed' if result.unchanged else f'rebuilt as {record.version}'}"
    return markdown(title, about, sections)


def failure_page(name: str, record: RebuildRecord) -> str:
    """Return the Markdown report of a rebuild that failed."""
    reasons = [f"- {reason}" for reason in record.reasons] or ["- none yet"]
    facts = [("Step", record.step), ("Run", record.run)]
    return markdown(f"{name}: the rebuild failed", facts, {"Error": [record.error], "Reasons": reasons})


def success(ctx: Context, result: RebuildResult) -> Notice:
    """Return the notice of a rebuild that succeeded, with the changes."""
    record, differences = result.record, _differences(result)
    about = [
        ("image", _image(result.image)),
        ("reasons", "; ".join(record.reasons)),
        ("production", _production(record)),
        *([("newest backup", record.backup)] if record.backup else []),
        ("next", _next(record)),
    ]
    lines = [f"  {line}" for line in [*(change.line() for change in result.changes), *_counts(result)]]
    lines += [f"    {d.kind} {d.name}: {' → '.join(_values(d))}" for d in differences[:_DIFFERENCES_IN_NOTICE]]
    lines += ["    …"] if len(differences) > _DIFFERENCES_IN_NOTICE else []
    cleanup = ["", "cleanup", *(f"  {text}" for text in result.removed)] if result.removed else []
    return Notice(
        "success",
        f"{ctx.name} {record.version} is baked and verified"
        + (" and in production" if record.promoted else "")
        + ("; the newest backup does NOT restore" if record.backup.startswith("FAILED") else ""),
        about,
        ["changes", *(lines or ["  none"]), *cleanup],
    )


def failure(ctx: Context, run: RunFolder, record: RebuildRecord) -> Notice:
    """Return the notice of a rebuild that failed, with the error."""
    first, *rest = record.error.splitlines() or ["unknown error"]
    about = [
        ("step", record.step),
        ("image", record.ami or "none"),
        ("production", _production(record)),
        ("report", f"{_report(run)} on {record.by.partition('@')[2]}"),
    ]
    return Notice("failure", f"{ctx.name}: the rebuild failed: {first}", about, rest)


def _check_facts(ctx: Context, check: RebuildCheck) -> dict[str, Any]:
    return {
        "reasons": [asdict(reason) for reason in check.reasons],
        "package_updates": check.packages,
        "candidate": check.inputs.candidate.id if check.inputs.candidate else None,
        "before": check.current.id if check.current else None,
        "next_version": str(check.version),
        "unfinished": check.unfinished.run if check.unfinished else None,
        "notifies": list(ctx.recipe.notify.places),
    }


def _differences(result: RebuildResult) -> tuple[Difference, ...]:
    return result.diff.differences if result.diff else ()


def _values(difference: Difference) -> tuple[str, str]:
    return difference.before or _BEFORE[difference.what], difference.after or difference.what


def _counts(result: RebuildResult) -> Iterator[str]:
    numbers = Counter((difference.kind, difference.what) for difference in _differences(result))
    return (f"{number} {kind}(s) {what}" for (kind, what), number in numbers.items())


def _production(record: RebuildRecord) -> str:
    return "promoted" if record.promoted else "unchanged"


def _next(record: RebuildRecord) -> str:
    return "./invoke status" if record.promoted else f"./invoke promote --ami {record.ami} --plan"


def _report(run: RunFolder) -> str:
    return str(run.folder / "rebuild.md")


def _image(image: Image | None) -> str:
    return f"{image.name} ({image.id})" if image else "none"
