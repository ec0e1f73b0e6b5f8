"""Delete the versions of the fleet's launch template that are of no use any more: each holds its image against prune."""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws import images, launch_templates, references
from goldenami.context import Context
from goldenami.errors import BusyError
from goldenami.images.model import TrimResult
from goldenami.images.template_versions_plan import decide
from goldenami.infra import describe
from goldenami.model.references import rollback_targets
from goldenami.state import lock, runs


def trim(ctx: Context, *, plan_only: bool = False) -> TrimResult:
    """Look at every version, and delete those that nothing needs; while nobody else changes the fleet."""
    found = preflight(ctx)
    if plan_only or not found.removable:
        return found
    try:
        with runs.record_run(ctx, "trim") as run, lock.acquire(ctx, run.id, "trim the launch template"):
            found = preflight(ctx)
            launch_templates.delete_versions(
                ctx.aws, found.template, [judged.version.number for judged in found.removable]
            )
    except BusyError as error:
        return replace(found, busy=error.message)
    return found


def preflight(ctx: Context) -> TrimResult:
    """Judge the versions as things are now."""
    fleet_state = describe.describe_fleet(ctx)
    if fleet_state.template is None:
        return TrimResult(())
    ours = describe.release_pointers(ctx)
    census = references.read_references(ctx.aws, ours)
    good = {image.id: image for image in images.list_family(ctx.aws, ctx.name) if image.verified}
    targets = rollback_targets(census, ours.production, good, ctx.recipe.retention.rollbacks)
    return TrimResult(decide(fleet_state, census.references, targets), fleet_state.template.id)
