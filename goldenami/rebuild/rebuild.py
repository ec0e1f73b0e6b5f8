"""The monthly rebuild, unattended: reasons → fresh bake, both gates → what changed → (promote) → tidy up → report → tell."""

from __future__ import annotations

from dataclasses import asdict, replace

from goldenami.aws import images, parameters
from goldenami.aws.errors import explain
from goldenami.bake import bake, cleanup
from goldenami.bake import model as bake_model
from goldenami.context import Context
from goldenami.images import diff, prune, template_versions
from goldenami.images import model as images_model
from goldenami.images.diff_plan import Change, ImageDiff, changes
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.rebuild import check, notify
from goldenami.rebuild import report as rebuild_report
from goldenami.rebuild.record_model import RebuildCheck, RebuildRecord, RebuildResult, lock_spec, parse
from goldenami.rebuild.report import NONE, diff_lines, file_name, record_facts
from goldenami.state import lock, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run, write_json, write_text
from goldenami.tools import host


def rebuild(shop: Context, *, if_needed: bool = False) -> RebuildResult:
    """Rebuild the image; with `if_needed`, only for a reason.

    Raises:
        BusyError: Another rebuild is at it, here or elsewhere; or, at the promotion, somebody else changes the fleet.
        GateError: The image did not pass a gate, or the promotion was refused or taken back.
        BuildError: Packer failed.
        AwsError: AWS refused.
    """
    with (
        runs.record_run(shop, "rebuild", invocation=host.invocation()) as run,
        lock.acquire(shop, run.id, "rebuild", lock_spec(shop.names)) as claim,
    ):
        record = RebuildRecord(run.id, f"{shop.clock.now():%Y-%m-%dT%H:%M:%S}", _rebuilder())
        try:
            found = check.check(shop)
            if found.unfinished:
                dead = found.unfinished
                shop.progress.say(f"going on with the rebuild {dead.run}, which ended at: {dead.step}")
                record = replace(dead, by=record.by)
            elif if_needed and not found.reasons:
                return _unchanged(shop, run, record, found)
            else:
                told = tuple(reason.text for reason in found.reasons) or ("it was asked for",)
                record = replace(record, reasons=told, before=found.before.id if found.before else "")
            for reason in record.reasons:
                shop.progress.say(f"because {reason}")
            return _rebuild(shop, run, claim, record, found)
        except Exception as error:
            _failed(shop, run, error)
            raise


def _rebuild(shop: Context, run: Run, claim: HeldLock, record: RebuildRecord, found: RebuildCheck) -> RebuildResult:
    record = _keep(shop, run, claim, record.at("bake"))
    baked = bake.bake(shop, bake_model.BakeOptions(since=record.since))
    record = _keep(shop, run, claim, record.at("compare", ami=baked.image.id, version=str(baked.version)))
    differences, inside = _compared(shop, record, baked.image)
    if shop.recipe.rebuild.auto_promote and not record.promoted:
        record = _keep(shop, run, claim, record.at("promote"))
        promote.promote(shop, images_model.PromoteOptions(ami=baked.image.id, why="rebuild"))
        record = record.at("promote", promoted=True)
    record = _keep(shop, run, claim, record.at("tidy up"))
    removed = clean_up(shop)
    record = _keep(shop, run, claim, record.at("report"))
    ended = record.at("done", state="finished", ended=_now(shop))
    outcome = RebuildResult(ended, found, baked.image, run, differences, inside, removed)
    return _close(shop, run, outcome)


def _unchanged(shop: Context, run: Run, record: RebuildRecord, found: RebuildCheck) -> RebuildResult:
    """Nobody is told about a month without news; it stands in the record and in the report."""
    record = record.at("done", state="unchanged", ended=_now(shop), before=found.before.id if found.before else "")
    outcome = RebuildResult(record, found, found.stock.candidate, run)
    write_report(shop, outcome)
    _write(shop, run, record)
    return outcome


def _close(shop: Context, run: Run, outcome: RebuildResult) -> RebuildResult:
    write_report(shop, outcome)
    told = notify.send(shop, rebuild_report.success(shop, outcome))
    outcome = replace(outcome, record=replace(outcome.record, told=told.places), untold=told.failed)
    write_report(shop, outcome)
    # Written last: one that dies just before it tells twice, and none ends untold.
    _write(shop, run, outcome.record)
    return outcome


def _failed(shop: Context, run: Run, error: Exception) -> None:
    """Write down and tell why it failed. What cannot be written (AWS may be what failed) must not hide the reason."""
    known = explain(error) or error
    reason = str(known) or type(error).__name__
    facts = run.facts().get("record", {})
    latest = parse(facts) if isinstance(facts, str) else None
    record = latest or RebuildRecord(run.id, f"{shop.clock.now():%Y-%m-%dT%H:%M:%S}", _rebuilder())
    record = replace(record, state="failed", error=reason, ended=_now(shop))
    write_failure_report(run, shop.name, record)
    told = notify.send(shop, rebuild_report.failure(shop, run, record))
    record = replace(record, told=told.places)
    try:
        _write(shop, run, record)
    except Exception as second:
        run.record(told=list(told.places))
        shop.progress.say(
            f"the record in {shop.names.rebuild_record} could not be written: {explain(second) or second}"
        )


def _keep(shop: Context, run: Run, claim: HeldLock, record: RebuildRecord) -> RebuildRecord:
    """Write down how far it is, before it goes on: whoever comes after goes on from here."""
    claim.confirm()
    claim.beat()
    _write(shop, run, record)
    return record


def _write(shop: Context, run: Run, record: RebuildRecord) -> None:
    parameters.overwrite(shop.aws, shop.names.rebuild_record, record.text())
    run.record(step=record.step, record=record.text(), told=list(record.told))


def _compared(shop: Context, record: RebuildRecord, image: Image) -> tuple[tuple[Change, ...], ImageDiff | None]:
    """What the new image has differently from the one that was there: by their tags, and by what their bakes wrote down."""
    before = images.get(shop.aws, record.before) if record.before else None
    told = tuple(changes(before, image, _base(shop, before), _base(shop, image)))
    return told, diff.diff(shop, before.id, image.id).inside if before else None


def _base(shop: Context, image: Image | None) -> Image | None:
    ami = image.tags.get(model_image.SOURCE_AMI, "") if image else ""
    return images.get(shop.aws, ami) if ami else None


def _rebuilder() -> str:
    return f"{host.user()}@{host.machine()}"


def _now(shop: Context) -> str:
    return shop.clock.now().isoformat(timespec="seconds")


def write_report(shop: Context, outcome: RebuildResult) -> None:
    """Write rebuild.md and rebuild.json into the run's folder."""
    record = outcome.record
    lines = [f"# {shop.name}: {'nothing has changed' if outcome.unchanged else 'rebuilt as ' + record.version}", ""]
    told = [
        ("Image", file_name(outcome.image)),
        ("Before", file_name(outcome.found.before)),
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
        lines += [
            f"| {d.kind} {d.name} | {d.before or NONE[d.what]} | {d.after or d.what} |" for d in diff_lines(outcome)
        ]
        lines += ["", *(f"Not known: {missing}." for missing in outcome.inside.missing)] if outcome.inside else []
        lines += ["", "## Tidied up", "", *([f"- {what}" for what in outcome.removed] or ["- nothing"])]
    write_text(outcome.run.folder / "rebuild.md", "\n".join(lines) + "\n")
    write_json(outcome.run.folder / "rebuild.json", record_facts(shop, outcome))


def write_failure_report(run: Run, name: str, record: RebuildRecord) -> None:
    """The report of a rebuild that failed."""
    why = "\n".join(f"- {reason}" for reason in record.reasons) or "- none was found yet"
    head = f"# {name}: the rebuild failed\n\n- Step: {record.step}\n- Run: {record.run}\n"
    text = f"{head}\n{record.error}\n\n## Why it ran\n\n{why}\n"
    write_text(run.folder / "rebuild.md", text)
    write_json(run.folder / "rebuild.json", asdict(record))


def clean_up(shop: Context) -> tuple[str, ...]:
    """Let old images go by the policy under [keep], and remove what dead runs left; says what went."""
    trimmed = template_versions.trim(shop)
    pruned = prune.prune(shop)
    done = {"deprecate": "deprecated", "deregister": "deregistered"}
    gone = [
        f"{done[v.action]} {v.image.name} ({v.image.id}): {v.reason}"
        for v in pruned.verdicts
        if v.action in done and v.image.id not in pruned.held
    ]
    with shop.progress.phase("remove what dead runs left"):
        swept = cleanup.sweep(shop)
    versions = () if trimmed.busy else trimmed.removable
    return (
        *(f"deleted version {judged.version.number} of {shop.names.template}" for judged in versions),
        *gone,
        *(f"removed {left.kind} {left.id} of run {left.run_id}" for left in swept.removable),
    )
