"""Commit a promotion, and write down who carried what to where: for the team in AWS, for this checkout in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from goldenami.aws import images, launch_templates, parameters, session
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.model.fleet import FleetState
from goldenami.model.image import PREFIX, Image
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.timeline_model import Timeline, as_json, checklist, markdown, seconds_between
from goldenami.state.runs import Run, write_json, write_text
from goldenami.text import seconds
from goldenami.tools import host, jinja

PROMOTED = PREFIX + "promoted"
PREVIOUS = "previous"  # the label of the parameter's version that was production before
ROLLED_BACK = PREFIX + "rolled-back"


@dataclass(frozen=True)
class HistoryEntry:
    """A line of the ledger.

    Attributes:
        when: ISO 8601, UTC.
        by: The operator and the machine.
        arn: Whose credentials.
        result: `promoted`, `rolled back`, `refused` or `failed`.
    """

    when: str
    run: str
    by: str
    arn: str
    from_ami: str
    to_ami: str
    version: int
    refresh: str
    why: str
    result: str


def history_entry(
    ctx: Context, run: str, fleet_state: FleetState, ami: str, version: int, refresh: str, why: str, result: str
) -> HistoryEntry:
    """Today's line."""
    return HistoryEntry(
        when=ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        run=run,
        by=f"{host.user()}@{host.machine()}",
        arn=session.caller_identity(ctx.aws)[1],
        from_ami=fleet_state.pointer.ami if fleet_state.pointer else "",
        to_ami=ami,
        version=version,
        refresh=refresh,
        why=why,
        result=result,
    )


def commit(
    ctx: Context, run: str, fleet_state: FleetState, version: int, image: Image, why: str, refresh: str = ""
) -> HistoryEntry:
    """The commit point: the template's default version, then the production parameter, last and checked.

    Safe to repeat: what is as it should be is left alone.
    """
    line = history_entry(ctx, run, fleet_state, image.id, version, refresh, why, "promoted")
    assert fleet_state.template is not None
    if fleet_state.template.default != version:
        launch_templates.set_default(ctx.aws, fleet_state.template.id, version)
    note = json.dumps({**asdict(line), "name": image.name}, ensure_ascii=False)
    name = ctx.names.production
    parameters.publish_ami(ctx.aws, ctx.clock, name, image.id, note)
    former = fleet_state.was_released(image.id)
    if former is not None and PREVIOUS not in former.labels:
        parameters.label(ctx.aws, name, former.version, PREVIOUS)
    images.tag(ctx.aws, [image.id], {PROMOTED: line.when})
    append(ctx, line)
    return line


def record_rollback(
    ctx: Context,
    run: Run,
    fleet_state: FleetState,
    image: Image,
    version: int,
    why: str,
    *,
    state: str,
    kept: Sequence[str],
    refresh: str = "",
) -> GateError:
    """Write down, on the image and in the ledger, that it was not well; the error that says so.

    Args:
        why: What was done, a colon, and what was seen.
        state: What is true now.
        kept: The files that show it.
    """
    reason = why.partition(": ")[2]
    now = ctx.clock.now().isoformat(timespec="seconds")
    images.tag(ctx.aws, [image.id], {ROLLED_BACK: f"{now} {reason}"[:255]})
    append(ctx, history_entry(ctx, run.id, fleet_state, image.id, version, refresh, why, "rolled back"))
    return GateError(
        f"{image.name} ({image.id}) was not well: {reason}",
        state=state,
        next=f"less {kept[0] if kept else run.folder / 'promotion.md'}",
    )


def append(ctx: Context, line: HistoryEntry) -> None:
    """Append a line to build/promotions.jsonl."""
    ctx.build.mkdir(parents=True, exist_ok=True)
    with path(ctx).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")


def path(ctx: Context) -> Path:
    """Where this checkout's lines are."""
    return ctx.build / "promotions.jsonl"


def write_report(found: PromotionPreflight, timeline: Timeline, run: Run, failure: str) -> None:
    """Write promotion.md, promotion.json and promotion.html into the run's folder.

    Args:
        found: What was decided.
        timeline: What happened.
        run: Whose folder.
        failure: Why it failed; empty when it did not.
    """
    failure = failure.partition("\n")[0]
    image, running = found.request.image, found.running
    name = image.name if image else found.request.ami
    title = f"{name}: {'rolled back' if timeline.first('restored') else 'failed' if failure else 'promoted'}"
    took = seconds_between(timeline.events[0].at, timeline.events[-1].at) if timeline.events else 0.0
    facts = [
        ("Image", f"{name} ({found.request.ami})"),
        ("Before", f"{running.name} ({running.id})" if running else "nothing"),
        ("Result", failure or "in production"),
        ("Took", seconds(took)),
        ("Run", run.id),
    ]
    items = checklist(timeline, passed=not failure)
    write_text(run.folder / "promotion.md", markdown(title, facts, timeline, items))
    write_json(run.folder / "promotion.json", as_json(facts, timeline, items, passed=not failure))
    start = timeline.events[0].at if timeline.events else ""
    rows = [
        {
            "elapsed": seconds_between(start, event.at),
            "at": event.at,
            "kind": event.kind,
            "text": event.text,
            "place": 100 * seconds_between(start, event.at) / took if took else 0,
        }
        for event in timeline.events
    ]
    values = {"title": title, "facts": facts, "items": items, "rows": rows, "failed": bool(failure)}
    write_text(run.folder / "promotion.html", jinja.render_template("promotion.html.j2", values))
