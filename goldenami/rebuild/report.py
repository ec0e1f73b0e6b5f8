"""What a rebuild leaves for people: the page before it, the report after it, and the notice to the team."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goldenami.context import Shop
from goldenami.images.diff_plan import Difference
from goldenami.rebuild import notify as notifying
from goldenami.rebuild.notice_model import Notice
from goldenami.rebuild.notify import Told
from goldenami.rebuild.record_model import Record
from goldenami.state import runs
from goldenami.state.runs import Run, write_json, write_text
from goldenami.summary import pairs

# How many differences a notice tells one by one; the report has them all.
FEW = 20
NONE = {"added": "none", "removed": "there", "changed": "none"}

if TYPE_CHECKING:
    from goldenami.rebuild.check import Found
    from goldenami.rebuild.rebuilt import Outcome


def page(shop: Shop, found: Found, *, if_needed: bool, as_json: bool) -> str:
    """What a rebuild would do, and why."""
    if as_json:
        return json.dumps({**_found(shop, found), "steps": steps(shop, found, if_needed=if_needed)}, ensure_ascii=False)
    facts = {
        "candidate": _name(found.stock.candidate),
        "production or candidate": _name(found.before),
        "package updates": found.packages,
        "tells": ", ".join(shop.recipe.notify.places) or "nobody ([notify] names no place)",
    }
    why = [f"  - {reason.text}{'' if reason.seen else ' (assumed, not seen)'}" for reason in found.reasons]
    does = [f"  {number}. {step}" for number, step in enumerate(steps(shop, found, if_needed=if_needed), 1)]
    return "\n".join([pairs(facts), "", "reasons", *(why or ["  - none"]), "", "what it does", *does])


def steps(shop: Shop, found: Found, *, if_needed: bool) -> list[str]:
    """The steps, in words."""
    if found.unfinished:
        return [f"go on with the rebuild {found.unfinished.run}, which ended at: {found.unfinished.step}"]
    if if_needed and not found.reasons:
        return ["record that nothing has changed"]
    canary = shop.recipe.promote.canary
    promotion = (
        f"promote it, {canary} % first"
        if shop.recipe.rebuild.auto_promote
        else "leave the promotion to you (auto_promote)"
    )
    return [
        f"bake both layers afresh as {found.version}, with both gates, and publish it as {shop.candidate}",
        f"compare it with {found.before.name if found.before else 'nothing'}",
        promotion,
        "let old images go, by the policy under [keep], and remove what dead runs left",
        "write the report and tell the team",
    ]


def summary(outcome: Outcome) -> str:
    """The end of a rebuild."""
    if outcome.unchanged:
        told = {"image": _name(outcome.image), "package updates": outcome.found.packages}
        return f"\nnothing has changed; nothing was baked\n{pairs({**told, 'report': _report(outcome.run)})}\n"
    record = outcome.record
    facts = {
        "image": _name(outcome.image),
        "because": "; ".join(record.reasons),
        "changed": "; ".join([*(change.line() for change in outcome.changes), *_counts(outcome)]) or "nothing",
        "production": "carried to the fleet" if record.promoted else "untouched",
        "told": ", ".join(record.told) or "nobody",
        **({"not told": "; ".join(outcome.untold)} if outcome.untold else {}),
        "report": _report(outcome.run),
        "next": _next(record),
    }
    return f"\nrebuilt\n{pairs(facts)}\n"


def facts(shop: Shop, outcome: Outcome) -> str:
    """The same for scripts."""
    return json.dumps(_facts(shop, outcome), ensure_ascii=False)


def write(shop: Shop, outcome: Outcome) -> None:
    """Write rebuild.md and rebuild.json into the run's folder."""
    record = outcome.record
    lines = [f"# {shop.name}: {'nothing has changed' if outcome.unchanged else 'rebuilt as ' + record.version}", ""]
    told = [
        ("Image", _name(outcome.image)),
        ("Before", _name(outcome.found.before)),
        ("Production", "carried to the fleet" if record.promoted else "untouched"),
        ("Package updates before", outcome.found.packages),
        ("Told", ", ".join(record.told) or "nobody"),
        *([("Not told", "; ".join(outcome.untold))] if outcome.untold else []),
        ("Began, ended", f"{record.since} UTC, {record.ended}"),
        ("By", record.by),
        ("Run", record.run),
    ]
    lines += [f"- {name}: {value}" for name, value in told]
    lines += ["", "## Why", "", *([f"- {reason}" for reason in record.reasons] or ["- no reason was found"])]
    if not outcome.unchanged:
        lines += ["", "## What changed", "", "| what | before | after |", "|---|---|---|"]
        lines += [f"| {c.what} | {c.before or 'none'} | {c.after or 'none'} |" for c in outcome.changes]
        lines += [f"| {d.kind} {d.name} | {d.before or NONE[d.what]} | {d.after or d.what} |" for d in _inside(outcome)]
        lines += ["", *(f"Not known: {missing}." for missing in outcome.inside.missing)] if outcome.inside else []
        lines += ["", "## Tidied up", "", *([f"- {what}" for what in outcome.removed] or ["- nothing"])]
    write_text(outcome.run.folder / "rebuild.md", "\n".join(lines) + "\n")
    write_json(outcome.run.folder / "rebuild.json", _facts(shop, outcome))


def write_failure(run: Run, name: str, record: Record) -> None:
    """The report of a rebuild that failed."""
    why = "\n".join(f"- {reason}" for reason in record.reasons) or "- none was found yet"
    head = f"# {name}: the rebuild failed\n\n- Step: {record.step}\n- Run: {record.run}\n"
    text = f"{head}\n{record.error}\n\n## Why it ran\n\n{why}\n"
    write_text(run.folder / "rebuild.md", text)
    write_json(run.folder / "rebuild.json", asdict(record))


def success(shop: Shop, outcome: Outcome) -> Notice:
    """The notice of a rebuild that went well, with what is different."""
    record = outcome.record
    told = [
        ("image", _name(outcome.image)),
        ("because", "; ".join(record.reasons)),
        ("production", "carried to the fleet" if record.promoted else "untouched"),
        ("next", _next(record)),
    ]
    lines = [f"  {line}" for line in [*(change.line() for change in outcome.changes), *_counts(outcome)]]
    few = _inside(outcome)[:FEW]
    lines += [f"    {d.kind} {d.name}: {d.before or NONE[d.what]} → {d.after or d.what}" for d in few]
    lines += ["    …"] if len(_inside(outcome)) > FEW else []
    tidied = ["", "tidied up", *(f"  {what}" for what in outcome.removed)] if outcome.removed else []
    return Notice(
        "success",
        f"{shop.name} {record.version} is baked and verified" + (" and in production" if record.promoted else ""),
        told,
        ["what changed", *(lines or ["  nothing"]), *tidied],
    )


def failure(shop: Shop, run: Run, record: Record) -> Notice:
    """The notice of a rebuild that failed, with the reason."""
    first, *rest = record.error.splitlines() or ["for no reason that it told"]
    told = [
        ("step", record.step),
        ("image", record.ami or "none was finished"),
        ("production", "carried to the fleet" if record.promoted else "as it was"),
        ("report", f"{_report(run)} on {record.by.partition('@')[2]}"),
    ]
    return Notice("failure", f"{shop.name}: the rebuild failed: {first}", told, rest)


def tell(shop: Shop, text: str, *, failure: bool, unless_told: str) -> Told:
    """Tell the team something.

    Args:
        shop: Where.
        text: What.
        failure: Whether it is about a failure.
        unless_told: A systemd invocation; where its rebuild has told of its own end, nothing is said again.
    """
    told = [
        run
        for run in runs.every(shop.build)
        if run.facts().get("invocation") == unless_told and run.facts().get("told")
    ]
    if unless_told and told:
        shop.progress.say(f"the rebuild {told[-1].id} has told it itself")
        return Told()
    if not shop.recipe.notify.places:
        shop.progress.say(f"nobody is told: [notify] in {shop.recipe.path.name} names no place")
    return notifying.tell(shop, Notice("failure" if failure else "success", f"{shop.name}: {text}"))


def _found(shop: Shop, found: Found) -> dict[str, Any]:
    return {
        "reasons": [asdict(reason) for reason in found.reasons],
        "package_updates": found.packages,
        "candidate": found.stock.candidate.id if found.stock.candidate else None,
        "before": found.before.id if found.before else None,
        "next_version": str(found.version),
        "unfinished": found.unfinished.run if found.unfinished else None,
        "tells": list(shop.recipe.notify.places),
    }


def _facts(shop: Shop, outcome: Outcome) -> dict[str, Any]:
    return {
        **asdict(outcome.record),
        "unchanged": outcome.unchanged,
        "image": outcome.image.id if outcome.image else None,
        "changes": [asdict(change) for change in outcome.changes],
        "inside": outcome.inside.facts() if outcome.inside else None,
        "removed": list(outcome.removed),
        "not_told": list(outcome.untold),
        "folder": str(outcome.run.folder),
        "found": _found(shop, outcome.found),
    }


def _inside(outcome: Outcome) -> tuple[Difference, ...]:
    return outcome.inside.differences if outcome.inside else ()


def _counts(outcome: Outcome) -> list[str]:
    number = Counter((difference.kind, difference.what) for difference in _inside(outcome))
    return [f"{count} {kind}(s) {what}" for (kind, what), count in number.items()]


def _next(record: Record) -> str:
    return "./invoke status" if record.promoted else f"./invoke promote --ami {record.ami} --plan"


def _report(run: Run) -> str:
    return str(run.folder / "rebuild.md")


def _name(image: Any) -> str:
    return f"{image.name} ({image.id})" if image else "none"
