"""The monthly rebuild without a machine of one's own: EventBridge Scheduler → CodeBuild, each with a role of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldenami.aws import iam_roles, scheduler, session
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.iam.statements import PolicyScope
from goldenami.rebuild.schedule_aws_plan import ScheduleResource, differs, schedule_resources
from goldenami.rebuild.schedule_model import ResourceDiff
from goldenami.tools import jinja


def preflight(shop: Context) -> list[ResourceDiff]:
    """Read and compare; nothing is changed.

    Raises:
        UsageError: The recipe names no repository that CodeBuild can check out.
    """
    return [_compare(shop, part) for part in _desired(shop)]


def apply(shop: Context) -> list[ResourceDiff]:
    """Make what is missing and correct what differs, in their order; repeated, it changes nothing.

    Returns:
        The parts as they were found.
    """
    before = []
    for part in _desired(shop):
        seen = _compare(shop, part)
        before.append(seen)
        if seen.word == "there":
            continue
        shop.progress.say(f"{'making' if seen.word == 'missing' else 'correcting'} the {part.kind} {part.name}")
        there = seen.word == "differs"
        if part.kind == "project":
            scheduler.put_project(shop.aws, shop.clock, part.name, part.wanted, there=there)
        elif part.kind == "schedule":
            scheduler.put_schedule(shop.aws, shop.clock, part.name, part.wanted, there=there)
        else:
            iam_roles.put_service_role(shop.aws, part.name, part.wanted)
    return before


def remove(shop: Context) -> list[str]:
    """Take everything away, the schedule first; returns what was there."""
    gone = []
    removers = {"project": scheduler.remove_project, "schedule": scheduler.remove_schedule}
    for part in reversed(_desired(shop)):
        if removers.get(part.kind, iam_roles.remove_service_role)(shop.aws, part.name):
            gone.append(f"{part.kind} {part.name}")
    return gone


def _desired(shop: Context) -> tuple[ScheduleResource, ...]:
    account, _ = session.caller(shop.aws)
    target = next(name for name in ("aws", "local") if shop.recipe.target(name) == shop.target)
    values = {"target": target, "recipe": _source_in_repository(shop)}
    return schedule_resources(
        PolicyScope(shop.aws.region, account, shop.recipe), jinja.render_template("buildspec.yml.j2", values)
    )


def _source_in_repository(shop: Context) -> str:
    """The recipe as seen from the checkout, which CodeBuild has its own of."""
    path = shop.recipe.path.resolve()
    if not path.is_relative_to(shop.root):
        raise UsageError(f"{path} is not in the repository that CodeBuild checks out", next=f"move it into {shop.root}")
    return str(path.relative_to(shop.root))


def _compare(shop: Context, part: ScheduleResource) -> ResourceDiff:
    found: Mapping[str, Any] | None
    if part.kind == "project":
        found = scheduler.project(shop.aws, part.name)
    elif part.kind == "schedule":
        found = scheduler.schedule(shop.aws, part.name)
    else:
        found = iam_roles.get_service_role(shop.aws, part.name)
    if found is None:
        return ResourceDiff(part, "missing")
    wanted = {key: value for key, value in part.wanted.items() if key != "why"}
    return ResourceDiff(part, "differs" if differs(wanted, found) else "there")
