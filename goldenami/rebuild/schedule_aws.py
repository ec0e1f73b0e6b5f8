"""The schedule of the rebuild on AWS: EventBridge Scheduler starts CodeBuild, each with a role of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldenami.aws import iam_roles, scheduler
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.iam.statements import PolicyScope
from goldenami.model.comparison import includes
from goldenami.rebuild.schedule_aws_plan import ScheduleResource, schedule_resources
from goldenami.rebuild.schedule_model import ResourceDiff
from goldenami.tools import jinja


def preflight(ctx: Context) -> list[ResourceDiff]:
    """Compare each resource with the recipe; nothing is changed.

    Raises:
        UsageError: CodeBuild cannot check out the recipe's repository.
    """
    return [_compare(ctx, resource) for resource in _desired(ctx)]


def apply(ctx: Context) -> list[ResourceDiff]:
    """Create missing resources and update those that differ, in their order. Idempotent.

    Returns:
        The resources as they were before.
    """
    before = []
    for resource in _desired(ctx):
        current = _compare(ctx, resource)
        before.append(current)
        if current.change == "unchanged":
            continue
        exists = current.change == "differs"
        ctx.progress.info(f"{'updating' if exists else 'creating'} the {resource.kind} {resource.name}")
        if resource.kind == "project":
            scheduler.put_project(ctx.aws, ctx.clock, resource.name, resource.desired, exists=exists)
        elif resource.kind == "schedule":
            scheduler.put_schedule(ctx.aws, ctx.clock, resource.name, resource.desired, exists=exists)
        else:
            iam_roles.put_role(ctx.aws, resource.name, resource.desired)
    return before


def remove(ctx: Context) -> list[str]:
    """Delete all resources, the schedule first; return those that existed."""
    deleted = []
    functions = {"project": scheduler.delete_project, "schedule": scheduler.delete_schedule}
    for resource in reversed(_desired(ctx)):
        if functions.get(resource.kind, iam_roles.delete_role)(ctx.aws, resource.name):
            deleted.append(f"{resource.kind} {resource.name}")
    return deleted


def _desired(ctx: Context) -> tuple[ScheduleResource, ...]:
    target = next(name for name in ("aws", "local") if ctx.recipe.target(name) == ctx.target)
    values = {"target": target, "recipe": _recipe_path(ctx)}
    return schedule_resources(
        PolicyScope(ctx.aws.region, ctx.aws.account, ctx.recipe), jinja.render_template("buildspec.yml.j2", values)
    )


def _recipe_path(ctx: Context) -> str:
    """Return the recipe's path in the repository."""
    path = ctx.recipe.path.resolve()
    if not path.is_relative_to(ctx.root):
        raise UsageError(f"{path} is not in the repository that CodeBuild checks out", next=f"move it into {ctx.root}")
    return str(path.relative_to(ctx.root))


def _compare(ctx: Context, resource: ScheduleResource) -> ResourceDiff:
    current: Mapping[str, Any] | None
    if resource.kind == "project":
        current = scheduler.get_project(ctx.aws, resource.name)
    elif resource.kind == "schedule":
        current = scheduler.get_schedule(ctx.aws, resource.name)
    else:
        current = iam_roles.get_role(ctx.aws, resource.name)
    if current is None:
        return ResourceDiff(resource, "missing")
    desired = {key: value for key, value in resource.desired.items() if key != "why"}
    return ResourceDiff(resource, "unchanged" if includes(current, desired) else "differs")
