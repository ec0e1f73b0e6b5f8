"""Delete unused versions of the fleet's launch template: each one keeps its image in use."""

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
    """Delete the unused versions while holding the fleet's lock; delete nothing if another operation holds it."""
    result = preflight(ctx)
    if plan_only or not result.removable:
        return result
    try:
        with runs.record_run(ctx, "trim") as run, lock.acquire(ctx, run.id, "trim the launch template"):
            result = preflight(ctx)
            numbers = [decision.version.number for decision in result.removable]
            launch_templates.delete_versions(ctx.aws, result.template, numbers)
    except BusyError as error:
        return replace(result, busy=error.message)
    return result


def preflight(ctx: Context) -> TrimResult:
    """Return the decision about every version; nothing is changed."""
    fleet_state = describe.describe_fleet(ctx)
    if fleet_state.template is None:
        return TrimResult(())
    pointers = describe.release_pointers(ctx)
    index = references.read_references(ctx.aws, pointers)
    good = {image.id: image for image in images.list_family(ctx.aws, ctx.name) if image.verified}
    targets = rollback_targets(index, pointers.production, good, ctx.recipe.retention.rollbacks)
    return TrimResult(decide(fleet_state, index.references, targets), fleet_state.template.id)
