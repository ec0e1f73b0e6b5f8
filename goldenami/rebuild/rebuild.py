"""The monthly rebuild, unattended: reasons → fresh bake, both gates → what changed → (promote) → tidy up → report → tell."""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws import images, parameters
from goldenami.aws.errors import explain
from goldenami.bake import bake
from goldenami.bake import preflight as planning
from goldenami.context import Shop
from goldenami.images import catalog as choosing
from goldenami.images import diff
from goldenami.images.changes import Change, changes
from goldenami.images.diff_plan import Comparison
from goldenami.model import image as tags
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.rebuild import check as due
from goldenami.rebuild import notify as notifying
from goldenami.rebuild import report as rebuild_report
from goldenami.rebuild import tidying
from goldenami.rebuild.check import Found
from goldenami.rebuild.rebuilt import Outcome
from goldenami.rebuild.record_model import Names, Record, parse
from goldenami.state import lock as claims
from goldenami.state import logbook
from goldenami.state.lock import Held
from goldenami.state.runs import Run
from goldenami.tools import host as processes


def rebuild(shop: Shop, *, if_needed: bool = False) -> Outcome:
    """Rebuild the image; with `if_needed`, only for a reason.

    Raises:
        BusyError: Another rebuild is at it, here or elsewhere; or, at the promotion, somebody else changes the fleet.
        GateError: The image did not pass a gate, or the promotion was refused or taken back.
        BuildError: Packer failed.
        AwsError: AWS refused.
    """
    with (
        logbook.opened(shop, "rebuild", invocation=processes.invocation()) as run,
        claims.held(shop, run.id, "rebuild", Names(shop.name).claim) as claim,
    ):
        record = Record(run.id, f"{shop.clock.now():%Y-%m-%dT%H:%M:%S}", _us())
        try:
            found = due.look(shop)
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
            return _carry_out(shop, run, claim, record, found)
        except Exception as error:
            _failed(shop, run, error)
            raise


def _carry_out(shop: Shop, run: Run, claim: Held, record: Record, found: Found) -> Outcome:
    record = _keep(shop, run, claim, record.at("bake"))
    baked = bake.bake(shop, planning.Options(since=record.since))
    record = _keep(shop, run, claim, record.at("compare", ami=baked.image.id, version=str(baked.version)))
    differences, inside = _compared(shop, record, baked.image)
    if shop.recipe.rebuild.auto_promote and not record.promoted:
        record = _keep(shop, run, claim, record.at("promote"))
        promote.promote(shop, choosing.Options(ami=baked.image.id, why="rebuild"))
        record = record.at("promote", promoted=True)
    record = _keep(shop, run, claim, record.at("tidy up"))
    removed = tidying.tidy(shop)
    record = _keep(shop, run, claim, record.at("report"))
    ended = record.at("done", state="finished", ended=_now(shop))
    outcome = Outcome(ended, found, baked.image, run, differences, inside, removed)
    return _close(shop, run, outcome)


def _unchanged(shop: Shop, run: Run, record: Record, found: Found) -> Outcome:
    """Nobody is told about a month without news; it stands in the record and in the report."""
    record = record.at("done", state="unchanged", ended=_now(shop), before=found.before.id if found.before else "")
    outcome = Outcome(record, found, found.stock.candidate, run)
    rebuild_report.write(shop, outcome)
    _write(shop, run, record)
    return outcome


def _close(shop: Shop, run: Run, outcome: Outcome) -> Outcome:
    rebuild_report.write(shop, outcome)
    told = notifying.tell(shop, rebuild_report.success(shop, outcome))
    outcome = replace(outcome, record=replace(outcome.record, told=told.places), untold=told.failed)
    rebuild_report.write(shop, outcome)
    # Written last: one that dies just before it tells twice, and none ends untold.
    _write(shop, run, outcome.record)
    return outcome


def _failed(shop: Shop, run: Run, error: Exception) -> None:
    """Write down and tell why it failed. What cannot be written (AWS may be what failed) must not hide the reason."""
    known = explain(error) or error
    reason = str(known) or type(error).__name__
    facts = run.facts().get("record", {})
    latest = parse(facts) if isinstance(facts, str) else None
    record = latest or Record(run.id, f"{shop.clock.now():%Y-%m-%dT%H:%M:%S}", _us())
    record = replace(record, state="failed", error=reason, ended=_now(shop))
    rebuild_report.write_failure(run, shop.name, record)
    told = notifying.tell(shop, rebuild_report.failure(shop, run, record))
    record = replace(record, told=told.places)
    try:
        _write(shop, run, record)
    except Exception as second:
        run.record(told=list(told.places))
        shop.progress.say(f"the record in {Names(shop.name).record} could not be written: {explain(second) or second}")


def _keep(shop: Shop, run: Run, claim: Held, record: Record) -> Record:
    """Write down how far it is, before it goes on: whoever comes after goes on from here."""
    claim.confirm()
    claim.beat()
    _write(shop, run, record)
    return record


def _write(shop: Shop, run: Run, record: Record) -> None:
    parameters.overwrite(shop.aws, Names(shop.name).record, record.text())
    run.record(step=record.step, record=record.text(), told=list(record.told))


def _compared(shop: Shop, record: Record, image: Image) -> tuple[tuple[Change, ...], Comparison | None]:
    """What the new image has differently from the one that was there: by their tags, and by what their bakes wrote down."""
    before = images.get(shop.aws, record.before) if record.before else None
    told = tuple(changes(before, image, _base(shop, before), _base(shop, image)))
    return told, diff.diff(shop, before.id, image.id).inside if before else None


def _base(shop: Shop, image: Image | None) -> Image | None:
    ami = image.tags.get(tags.SOURCE_AMI, "") if image else ""
    return images.get(shop.aws, ami) if ami else None


def _us() -> str:
    return f"{processes.user()}@{processes.machine()}"


def _now(shop: Shop) -> str:
    return shop.clock.now().isoformat(timespec="seconds")
