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
from goldenami.promote import report as promote_report
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.timeline_model import Timeline
from goldenami.state.runs import Run, write_json, write_text
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
        by=host.operator(),
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
    report = promote_report.rollout(found, timeline, run.id, failure.partition("\n")[0])
    write_text(run.folder / "promotion.md", report.text)
    write_json(run.folder / "promotion.json", report.facts)
    page = jinja.render_template("promotion.html.j2", promote_report.rollout_page(report))
    write_text(run.folder / "promotion.html", page)
