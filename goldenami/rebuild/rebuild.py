"""The monthly rebuild, unattended: check → bake from scratch → compare → (promote) → clean up → report → notify."""

from __future__ import annotations

from dataclasses import asdict, replace

from goldenami.aws import images
from goldenami.aws.errors import explain
from goldenami.bake import bake, cleanup, model as bake_model
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.images import diff, prune, template_versions
from goldenami.images.diff_plan import Change, ImageDiff, changes
from goldenami.images.model import ImageSelector
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.promote.model import PromoteOptions
from goldenami.rebuild import check, notify, report as rebuild_report
from goldenami.rebuild.record_model import RebuildCheck, RebuildRecord, RebuildResult, lock_spec
from goldenami.state import lock, records, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run, write_json, write_text
from goldenami.tools import host
from goldenami.tools.clock import timestamp


def rebuild(ctx: Context, *, if_needed: bool = False) -> RebuildResult:
    """Rebuild the image; with `if_needed`, only if there is a reason. Resumes an interrupted rebuild.

    Raises:
        BusyError: Another rebuild is running, here or elsewhere; or the fleet is locked at the promotion.
        GateError: The image failed a gate, or the promotion was refused or rolled back.
        BuildError: Packer failed.
        AwsError: An AWS call failed.
    """
    with (
        runs.record_run(ctx, "rebuild", invocation=host.systemd_invocation_id()) as run,
        lock.acquire(ctx, run.id, "rebuild", lock_spec(ctx.names)) as held_lock,
    ):
        record = _new_record(ctx, run)
        try:
            checked = check.check(ctx)
            previous_ami = checked.current.id if checked.current else ""
            if checked.unfinished:
                interrupted = checked.unfinished
                ctx.progress.info(f"resuming the rebuild {interrupted.run}, interrupted at: {interrupted.step}")
                record = replace(interrupted, by=record.by)
            elif if_needed and not checked.reasons:
                return _unchanged(ctx, run, replace(record, previous_ami=previous_ami), checked)
            else:
                reasons = tuple(reason.text for reason in checked.reasons) or ("it was requested",)
                record = replace(record, reasons=reasons, previous_ami=previous_ami)
            for reason in record.reasons:
                ctx.progress.info(f"because {reason}")
            return _rebuild(ctx, run, held_lock, record, checked)
        except Exception as error:
            _failed(ctx, run, error)
            raise


def _rebuild(
    ctx: Context, run: Run, held_lock: HeldLock, record: RebuildRecord, checked: RebuildCheck
) -> RebuildResult:
    record = _save(ctx, run, held_lock, record.advance("bake"))
    baked = bake.bake(ctx, bake_model.BakeOptions(since=record.since))
    record = _save(ctx, run, held_lock, record.advance("compare", ami=baked.image.id, version=str(baked.version)))
    differences, contents = _compare(ctx, record, baked.image)
    if ctx.recipe.rebuild.auto_promote and not record.promoted:
        record = _save(ctx, run, held_lock, record.advance("promote"))
        if baked.image.rolled_back:  # by the promotion of an interrupted rebuild
            raise GateError(
                f"{baked.image.name} ({baked.image.id}) was rolled back ({baked.image.rolled_back})",
                state="It is not promoted again automatically.",
                next=f"./invoke promote --ami {baked.image.id}, or fix the cause and ./invoke rebuild",
            )
        promote.promote(ctx, PromoteOptions(ImageSelector(baked.image.id), why="rebuild"))
        record = record.advance("promote", promoted=True)
    record = _save(ctx, run, held_lock, record.advance("clean up"))
    removed = clean_up(ctx)
    record = _save(ctx, run, held_lock, record.advance("report"))
    record = record.advance("done", state="finished", ended=timestamp(ctx.clock))
    return _close(ctx, run, RebuildResult(record, checked, baked.image, run, differences, contents, removed))


def _unchanged(ctx: Context, run: Run, record: RebuildRecord, checked: RebuildCheck) -> RebuildResult:
    """Record that nothing has changed, without a notification."""
    record = record.advance("done", state="unchanged", ended=timestamp(ctx.clock))
    result = RebuildResult(record, checked, checked.inputs.candidate, run)
    write_report(ctx, result)
    _write(ctx, run, record)
    return result


def _close(ctx: Context, run: Run, result: RebuildResult) -> RebuildResult:
    write_report(ctx, result)
    delivery = notify.send(ctx, rebuild_report.success(ctx, result))
    record = replace(result.record, notified=delivery.notified)
    result = replace(result, record=record, notify_failed=delivery.failed)
    write_report(ctx, result)
    # Written last: a crash before this sends the notification twice, but never loses it.
    _write(ctx, run, record)
    return result


def _failed(ctx: Context, run: Run, error: Exception) -> None:
    """Record the failure and send a notification. A record that cannot be written must not hide the reason."""
    record = records.parse(run.facts().get("record", ""), RebuildRecord) or _new_record(ctx, run)
    reason = str(explain(error) or error) or type(error).__name__
    record = replace(record, state="failed", error=reason, ended=timestamp(ctx.clock))
    write_failure_report(run, ctx.name, record)
    delivery = notify.send(ctx, rebuild_report.failure(ctx, run, record))
    try:
        _write(ctx, run, replace(record, notified=delivery.notified))
    except Exception as second:
        run.record(notified=list(delivery.notified))
        ctx.progress.info(f"the record in {ctx.names.rebuild_record} could not be written: {explain(second) or second}")


def _save(ctx: Context, run: Run, held_lock: HeldLock, record: RebuildRecord) -> RebuildRecord:
    """Save the record before its step starts: the next rebuild resumes there."""
    held_lock.verify_held()
    held_lock.heartbeat()
    _write(ctx, run, record)
    return record


def _write(ctx: Context, run: Run, record: RebuildRecord) -> None:
    record = records.save(ctx, ctx.names.rebuild_record, record.shortened())
    run.record(step=record.step, record=records.dump(record), notified=list(record.notified))


def _compare(ctx: Context, record: RebuildRecord, image: Image) -> tuple[tuple[Change, ...], ImageDiff | None]:
    """Return the differences between the previous image and the new one: of their tags, and of their inventories."""
    before = images.get(ctx.aws, record.previous_ami) if record.previous_ami else None
    differences = tuple(changes(before, image, _base(ctx, before), _base(ctx, image)))
    return differences, diff.diff(ctx, before.id, image.id).contents if before else None


def _base(ctx: Context, image: Image | None) -> Image | None:
    ami = image.tags.get(model_image.SOURCE_AMI, "") if image else ""
    return images.get(ctx.aws, ami) if ami else None


def _new_record(ctx: Context, run: Run) -> RebuildRecord:
    return RebuildRecord(run.id, f"{ctx.clock.now():%Y-%m-%dT%H:%M:%S}", host.operator())


def write_report(ctx: Context, outcome: RebuildResult) -> None:
    """Write rebuild.md and rebuild.json into the run's folder."""
    write_text(outcome.run.folder / "rebuild.md", rebuild_report.success_page(ctx, outcome))
    write_json(outcome.run.folder / "rebuild.json", rebuild_report.facts(ctx, outcome))


def write_failure_report(run: Run, name: str, record: RebuildRecord) -> None:
    """Write rebuild.md and rebuild.json of a rebuild that failed."""
    write_text(run.folder / "rebuild.md", rebuild_report.failure_page(name, record))
    write_json(run.folder / "rebuild.json", asdict(record))


def clean_up(ctx: Context) -> tuple[str, ...]:
    """Delete unused template versions, apply the retention policy, and sweep; return what was deleted."""
    trimmed = template_versions.trim(ctx)
    pruned = prune.prune(ctx)
    with ctx.progress.phase("delete resources of crashed runs"):
        swept = cleanup.sweep(ctx)
    versions = () if trimmed.busy else trimmed.removable
    results = {"deprecate": "deprecated", "deregister": "deregistered"}
    return (
        *(f"deleted version {decision.version.number} of {ctx.names.launch_template}" for decision in versions),
        *(
            f"{results[decision.action]} {decision.image.name} ({decision.image.id}): {decision.reason}"
            for decision in pruned.decisions
            if decision.action in results and decision.image.id not in pruned.kept
        ),
        *(f"deleted {resource.kind} {resource.id} of run {resource.run_id}" for resource in swept.removable),
    )
