"""The monthly rebuild without a machine of one's own: EventBridge Scheduler → CodeBuild, each with a role of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldenami.aws import iam_roles, scheduler, session
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.iam.statements import PolicyScope
from goldenami.model.comparison import includes
from goldenami.rebuild.schedule_aws_plan import ScheduleResource, schedule_resources
from goldenami.rebuild.schedule_model import ResourceDiff
from goldenami.tools import jinja


def preflight(ctx: Context) -> list[ResourceDiff]:
    """Read and compare; nothing is changed.

    Raises:
        UsageError: The recipe names no repository that CodeBuild can check out.
    """
    return [_compare(ctx, part) for part in _desired(ctx)]


def apply(ctx: Context) -> list[ResourceDiff]:
    """Make what is missing and correct what differs, in their order; repeated, it changes nothing.

    Returns:
        The parts as they were found.
    """
    before = []
    for part in _desired(ctx):
        seen = _compare(ctx, part)
        before.append(seen)
        if seen.change == "there":
            continue
        ctx.progress.info(f"{'making' if seen.change == 'missing' else 'correcting'} the {part.kind} {part.name}")
        there = seen.change == "differs"
        if part.kind == "project":
            scheduler.put_project(ctx.aws, ctx.clock, part.name, part.desired, exists=there)
        elif part.kind == "schedule":
            scheduler.put_schedule(ctx.aws, ctx.clock, part.name, part.desired, exists=there)
        else:
            iam_roles.put_role(ctx.aws, part.name, part.desired)
    return before


def remove(ctx: Context) -> list[str]:
    """Take everything away, the schedule first; returns what was there."""
    gone = []
    removers = {"project": scheduler.delete_project, "schedule": scheduler.delete_schedule}
    for part in reversed(_desired(ctx)):
        if removers.get(part.kind, iam_roles.delete_role)(ctx.aws, part.name):
            gone.append(f"{part.kind} {part.name}")
    return gone


def _desired(ctx: Context) -> tuple[ScheduleResource, ...]:
    account, _ = session.caller_identity(ctx.aws)
    target = next(name for name in ("aws", "local") if ctx.recipe.target(name) == ctx.target)
    values = {"target": target, "recipe": _source_in_repository(ctx)}
    return schedule_resources(
        PolicyScope(ctx.aws.region, account, ctx.recipe), jinja.render_template("buildspec.yml.j2", values)
    )


def _source_in_repository(ctx: Context) -> str:
    """The recipe as seen from the checkout, which CodeBuild has its own of."""
    path = ctx.recipe.path.resolve()
    if not path.is_relative_to(ctx.root):
        raise UsageError(f"{path} is not in the repository that CodeBuild checks out", next=f"move it into {ctx.root}")
    return str(path.relative_to(ctx.root))


def _compare(ctx: Context, part: ScheduleResource) -> ResourceDiff:
    found: Mapping[str, Any] | None
    if part.kind == "project":
        found = scheduler.get_project(ctx.aws, part.name)
    elif part.kind == "schedule":
        found = scheduler.get_schedule(ctx.aws, part.name)
    else:
        found = iam_roles.get_role(ctx.aws, part.name)
    if found is None:
        return ResourceDiff(part, "missing")
    wanted = {key: value for key, value in part.desired.items() if key != "why"}
    return ResourceDiff(part, "there" if includes(found, wanted) else "differs")
