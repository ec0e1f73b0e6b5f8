"""The monthly rebuild, unattended: reasons → fresh bake, both gates → what changed → (promote) → tidy up → report → tell."""

from __future__ import annotations

from dataclasses import asdict, replace

from goldenami.aws import images
from goldenami.aws.errors import explain
from goldenami.bake import bake, cleanup
from goldenami.bake import model as bake_model
from goldenami.context import Context
from goldenami.images import diff, prune, template_versions
from goldenami.images.diff_plan import Change, ImageDiff, changes
from goldenami.images.model import ImageSelector
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.promote.model import PromoteOptions
from goldenami.rebuild import check, notify
from goldenami.rebuild import report as rebuild_report
from goldenami.rebuild.record_model import RebuildCheck, RebuildRecord, RebuildResult, lock_spec
from goldenami.rebuild.report import NONE, diff_lines, file_name, record_facts
from goldenami.state import lock, records, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run, write_json, write_text
from goldenami.tools import host


def rebuild(ctx: Context, *, if_needed: bool = False) -> RebuildResult:
    """Rebuild the image; with `if_needed`, only for a reason.

    Raises:
        BusyError: Another rebuild is at it, here or elsewhere; or, at the promotion, somebody else changes the fleet.
        GateError: The image did not pass a gate, or the promotion was refused or taken back.
        BuildError: Packer failed.
        AwsError: AWS refused.
    """
    with (
        runs.record_run(ctx, "rebuild", invocation=host.systemd_invocation_id()) as run,
        lock.acquire(ctx, run.id, "rebuild", lock_spec(ctx.names)) as held_lock,
    ):
        record = RebuildRecord(run.id, f"{ctx.clock.now():%Y-%m-%dT%H:%M:%S}", _rebuilder())
        try:
            found = check.check(ctx)
            if found.unfinished:
                dead = found.unfinished
                ctx.progress.info(f"going on with the rebuild {dead.run}, which ended at: {dead.step}")
                record = replace(dead, by=record.by)
            elif if_needed and not found.reasons:
                return _unchanged(ctx, run, record, found)
            else:
                told = tuple(reason.text for reason in found.reasons) or ("it was asked for",)
                record = replace(record, reasons=told, previous_ami=found.current.id if found.current else "")
            for reason in record.reasons:
                ctx.progress.info(f"because {reason}")
            return _rebuild(ctx, run, held_lock, record, found)
        except Exception as error:
            _failed(ctx, run, error)
            raise


def _rebuild(ctx: Context, run: Run, held_lock: HeldLock, record: RebuildRecord, found: RebuildCheck) -> RebuildResult:
    record = _keep(ctx, run, held_lock, record.advance("bake"))
    baked = bake.bake(ctx, bake_model.BakeOptions(since=record.since))
    record = _keep(ctx, run, held_lock, record.advance("compare", ami=baked.image.id, version=str(baked.version)))
    differences, inside = _compared(ctx, record, baked.image)
    if ctx.recipe.rebuild.auto_promote and not record.promoted:
        record = _keep(ctx, run, held_lock, record.advance("promote"))
        promote.promote(ctx, PromoteOptions(ImageSelector(baked.image.id), why="rebuild"))
        record = record.advance("promote", promoted=True)
    record = _keep(ctx, run, held_lock, record.advance("tidy up"))
    removed = clean_up(ctx)
    record = _keep(ctx, run, held_lock, record.advance("report"))
    ended = record.advance("done", state="finished", ended=_now(ctx))
    outcome = RebuildResult(ended, found, baked.image, run, differences, inside, removed)
    return _close(ctx, run, outcome)


def _unchanged(ctx: Context, run: Run, record: RebuildRecord, found: RebuildCheck) -> RebuildResult:
    """Nobody is told about a month without news; it stands in the record and in the report."""
    record = record.advance(
        "done", state="unchanged", ended=_now(ctx), previous_ami=found.current.id if found.current else ""
    )
    outcome = RebuildResult(record, found, found.inputs.candidate, run)
    write_report(ctx, outcome)
    _write(ctx, run, record)
    return outcome


def _close(ctx: Context, run: Run, outcome: RebuildResult) -> RebuildResult:
    write_report(ctx, outcome)
    told = notify.send(ctx, rebuild_report.success(ctx, outcome))
    outcome = replace(outcome, record=replace(outcome.record, notified=told.notified), notify_failed=told.failed)
    write_report(ctx, outcome)
    # Written last: one that dies just before it tells twice, and none ends untold.
    _write(ctx, run, outcome.record)
    return outcome


def _failed(ctx: Context, run: Run, error: Exception) -> None:
    """Write down and tell why it failed. What cannot be written (AWS may be what failed) must not hide the reason."""
    known = explain(error) or error
    reason = str(known) or type(error).__name__
    latest = records.parse(run.facts().get("record", ""), RebuildRecord)
    record = latest or RebuildRecord(run.id, f"{ctx.clock.now():%Y-%m-%dT%H:%M:%S}", _rebuilder())
    record = replace(record, state="failed", error=reason, ended=_now(ctx))
    write_failure_report(run, ctx.name, record)
    told = notify.send(ctx, rebuild_report.failure(ctx, run, record))
    record = replace(record, notified=told.notified)
    try:
        _write(ctx, run, record)
    except Exception as second:
        run.record(told=list(told.notified))
        ctx.progress.info(f"the record in {ctx.names.rebuild_record} could not be written: {explain(second) or second}")


def _keep(ctx: Context, run: Run, held_lock: HeldLock, record: RebuildRecord) -> RebuildRecord:
    """Write down how far it is, before it goes on: whoever comes after goes on from here."""
    held_lock.verify_held()
    held_lock.heartbeat()
    _write(ctx, run, record)
    return record


def _write(ctx: Context, run: Run, record: RebuildRecord) -> None:
    record = records.save(ctx, ctx.names.rebuild_record, record.shortened())
    run.record(step=record.step, record=records.dump(record), told=list(record.notified))


def _compared(ctx: Context, record: RebuildRecord, image: Image) -> tuple[tuple[Change, ...], ImageDiff | None]:
    """What the new image has differently from the one that was there: by their tags, and by what their bakes wrote down."""
    before = images.get(ctx.aws, record.previous_ami) if record.previous_ami else None
    told = tuple(changes(before, image, _base(ctx, before), _base(ctx, image)))
    return told, diff.diff(ctx, before.id, image.id).contents if before else None


def _base(ctx: Context, image: Image | None) -> Image | None:
    ami = image.tags.get(model_image.SOURCE_AMI, "") if image else ""
    return images.get(ctx.aws, ami) if ami else None


def _rebuilder() -> str:
    return f"{host.user()}@{host.machine()}"


def _now(ctx: Context) -> str:
    return ctx.clock.now().isoformat(timespec="seconds")


def write_report(ctx: Context, outcome: RebuildResult) -> None:
    """Write rebuild.md and rebuild.json into the run's folder."""
    record = outcome.record
    lines = [f"# {ctx.name}: {'nothing has changed' if outcome.unchanged else 'rebuilt as ' + record.version}", ""]
    told = [
        ("Image", file_name(outcome.image)),
        ("Before", file_name(outcome.check.current)),
        ("Production", "carried to the fleet" if record.promoted else "untouched"),
        ("Package updates before", outcome.check.packages),
        ("Told", ", ".join(record.notified) or "nobody"),
        *([("Not told", "; ".join(outcome.notify_failed))] if outcome.notify_failed else []),
        ("Began, ended", f"{record.since} UTC, {record.ended}"),
        ("By", record.by),
        ("Run", record.run),
    ]
    lines += [f"- {name}: {value}" for name, value in told]
    lines += ["", "## Why", "", *([f"- {reason}" for reason in record.reasons] or ["- no reason was found"])]
    if not outcome.unchanged:
        lines += ["", "## What changed", "", "| what | before | after |", "|---|---|---|"]
        lines += [f"| {c.what} | {c.before or 'none'} | {c.after or 'none'} |" for c in outcome.changes]
        lines += [
            f"| {d.kind} {d.name} | {d.before or NONE[d.what]} | {d.after or d.what} |" for d in diff_lines(outcome)
        ]
        lines += ["", *(f"Not known: {missing}." for missing in outcome.diff.missing)] if outcome.diff else []
        lines += ["", "## Tidied up", "", *([f"- {what}" for what in outcome.removed] or ["- nothing"])]
    write_text(outcome.run.folder / "rebuild.md", "\n".join(lines) + "\n")
    write_json(outcome.run.folder / "rebuild.json", record_facts(ctx, outcome))


def write_failure_report(run: Run, name: str, record: RebuildRecord) -> None:
    """The report of a rebuild that failed."""
    why = "\n".join(f"- {reason}" for reason in record.reasons) or "- none was found yet"
    head = f"# {name}: the rebuild failed\n\n- Step: {record.step}\n- Run: {record.run}\n"
    text = f"{head}\n{record.error}\n\n## Why it ran\n\n{why}\n"
    write_text(run.folder / "rebuild.md", text)
    write_json(run.folder / "rebuild.json", asdict(record))


def clean_up(ctx: Context) -> tuple[str, ...]:
    """Let old images go by the policy under [retention], and remove what dead runs left; says what went."""
    trimmed = template_versions.trim(ctx)
    pruned = prune.prune(ctx)
    done = {"deprecate": "deprecated", "deregister": "deregistered"}
    gone = [
        f"{done[v.action]} {v.image.name} ({v.image.id}): {v.reason}"
        for v in pruned.decisions
        if v.action in done and v.image.id not in pruned.kept
    ]
    with ctx.progress.phase("remove what dead runs left"):
        swept = cleanup.sweep(ctx)
    versions = () if trimmed.busy else trimmed.removable
    return (
        *(f"deleted version {judged.version.number} of {ctx.names.launch_template}" for judged in versions),
        *gone,
        *(f"removed {left.kind} {left.id} of run {left.run_id}" for left in swept.removable),
    )
