"""Commit a promotion, and record it: for the team in AWS, for this checkout in build/promotions.jsonl."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goldenami.aws import images, launch_templates, parameters, session
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.model.fleet import FleetState
from goldenami.model.image import PREFIX, ROLLED_BACK, Image
from goldenami.promote import report as promote_report
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.context import RolloutContext
from goldenami.rollout.timeline_model import Timeline
from goldenami.state.runs import Run, write_json, write_text
from goldenami.tools import host, jinja

PROMOTED = PREFIX + "promoted"
PREVIOUS = "previous"  # label of the production parameter's previous version


@dataclass(frozen=True)
class HistoryEntry:
    """An entry of the promotion history.

    Attributes:
        when: ISO 8601, UTC.
        by: `user@machine`.
        arn: ARN of the caller's identity.
        result: `promoted` or `rolled back`.
        recipe: Name of the recipe's image; several recipes may share a checkout.
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
    recipe: str = ""


def history_entry(
    ctx: Context, run: str, fleet_state: FleetState, ami: str, version: int, refresh: str, why: str, result: str
) -> HistoryEntry:
    """Return an entry made now."""
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
        recipe=ctx.name,
    )


def commit(
    ctx: Context, run: str, fleet_state: FleetState, version: int, image: Image, why: str, refresh: str = ""
) -> HistoryEntry:
    """Commit: set the template's default version, then the production parameter, last. Idempotent."""
    entry = history_entry(ctx, run, fleet_state, image.id, version, refresh, why, "promoted")
    assert fleet_state.template is not None
    if fleet_state.template.default != version:
        launch_templates.set_default(ctx.aws, fleet_state.template.id, version)
    note = json.dumps({**asdict(entry), "name": image.name}, ensure_ascii=False)
    name = ctx.names.production
    parameters.publish_ami(ctx.aws, ctx.clock, name, image.id, note)
    previous = fleet_state.was_released(image.id)
    if previous is not None and PREVIOUS not in previous.labels:
        parameters.label(ctx.aws, name, previous.version, PREVIOUS)
    images.tag(ctx.aws, [image.id], {PROMOTED: entry.when})
    if image.rolled_back:
        images.untag(ctx.aws, [image.id], [ROLLED_BACK])
    append_entry(ctx, entry)
    return entry


def record_rollback(
    rollout: RolloutContext,
    preflight: PromotionPreflight,
    version: int,
    why: str,
    reason: str,
    *,
    state: str,
    evidence: Sequence[str],
    refresh: str = "",
) -> GateError:
    """Record, on the image and in the history, that an image was rolled back; return the error to raise.

    Args:
        rollout: The rollout.
        preflight: Its preflight.
        version: The launch template version that failed.
        why: The operation's reason.
        reason: The failure reason.
        state: The state after the rollback.
        evidence: Paths of the logs of the failed instances.
        refresh: Id of the instance refresh.
    """
    ctx, image = rollout.ctx, preflight.request.image
    assert image is not None
    images.tag(ctx.aws, [image.id], {ROLLED_BACK: f"{rollout.now} {reason}"[:255]})
    why = f"{why}: {reason}"
    entry = history_entry(ctx, rollout.run.id, preflight.fleet_state, image.id, version, refresh, why, "rolled back")
    append_entry(ctx, entry)
    return GateError(
        f"{image.name} ({image.id}) failed the health gate: {reason}",
        state=state,
        next=f"less {evidence[0] if evidence else rollout.run.folder / 'promotion.md'}",
    )


def append_entry(ctx: Context, entry: HistoryEntry) -> None:
    """Append an entry to build/promotions.jsonl."""
    ctx.build.mkdir(parents=True, exist_ok=True)
    with history_path(ctx).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")


def load(ctx: Context, images: Container[str]) -> list[dict[str, Any]]:
    """Return the recipe's entries of build/promotions.jsonl, oldest first.

    Args:
        images: Ids of the recipe's AMIs. An entry of an earlier version of goldenami does not name its recipe.
    """
    path = history_path(ctx)
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):  # a line that was cut off by a crash
            entries.append(json.loads(line))
    return [e for e in entries if e.get("recipe") == ctx.name or (not e.get("recipe") and e.get("to_ami") in images)]


def history_path(ctx: Context) -> Path:
    """Return the path of this checkout's promotion history."""
    return ctx.build / "promotions.jsonl"


def write_report(preflight: PromotionPreflight, timeline: Timeline, run: Run, failure: str) -> None:
    """Write promotion.md, promotion.json and promotion.html into the run's folder.

    Args:
        preflight: The promotion's preflight.
        timeline: Its events.
        run: Its run folder.
        failure: Why it failed; empty if it succeeded.
    """
    report = promote_report.rollout(preflight, timeline, run.id, failure.partition("\n")[0])
    write_text(run.folder / "promotion.md", report.text)
    write_json(run.folder / "promotion.json", report.facts)
    page = jinja.render_template("promotion.html.j2", promote_report.rollout_page(report))
    write_text(run.folder / "promotion.html", page)
