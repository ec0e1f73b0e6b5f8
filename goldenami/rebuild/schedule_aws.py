"""The monthly rebuild without a machine of one's own: EventBridge Scheduler → CodeBuild, each with a role of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from goldenami.aws import iam_roles as roles
from goldenami.aws import scheduler as schedules
from goldenami.aws import service_roles
from goldenami.bake import render
from goldenami.context import Shop
from goldenami.errors import UsageError
from goldenami.iam.statements import Place
from goldenami.rebuild.schedule_aws_plan import Part, differs, parts
from goldenami.summary import table

Word = Literal["missing", "differs", "there"]


@dataclass(frozen=True)
class Seen:
    """A part, and whether it is there as it should be."""

    part: Part
    word: Word


def look(shop: Shop) -> list[Seen]:
    """Read and compare; nothing is changed.

    Raises:
        UsageError: The recipe names no repository that CodeBuild can check out.
    """
    return [_seen(shop, part) for part in _wanted(shop)]


def apply(shop: Shop) -> list[Seen]:
    """Make what is missing and correct what differs, in their order; repeated, it changes nothing.

    Returns:
        The parts as they were found.
    """
    before = []
    for part in _wanted(shop):
        seen = _seen(shop, part)
        before.append(seen)
        if seen.word == "there":
            continue
        shop.progress.say(f"{'making' if seen.word == 'missing' else 'correcting'} the {part.kind} {part.name}")
        there = seen.word == "differs"
        if part.kind == "project":
            schedules.put_project(shop.aws, shop.clock, part.name, part.wanted, there=there)
        elif part.kind == "schedule":
            schedules.put_schedule(shop.aws, shop.clock, part.name, part.wanted, there=there)
        else:
            service_roles.put(shop.aws, part.name, part.wanted)
    return before


def remove(shop: Shop) -> list[str]:
    """Take everything away, the schedule first; returns what was there."""
    gone = []
    removers = {"project": schedules.remove_project, "schedule": schedules.remove_schedule}
    for part in reversed(_wanted(shop)):
        if removers.get(part.kind, service_roles.remove)(shop.aws, part.name):
            gone.append(f"{part.kind} {part.name}")
    return gone


def tell(seen: Sequence[Seen], *, as_json: bool) -> str:
    """The parts, and with JSON each document whole."""
    if as_json:
        told = [{"kind": s.part.kind, "name": s.part.name, "is": s.word, "wanted": s.part.wanted} for s in seen]
        return json.dumps(told, ensure_ascii=False)
    documents = [
        f"# {s.part.kind} {s.part.name}\n{json.dumps(s.part.wanted, indent=2, ensure_ascii=False)}" for s in seen
    ]
    return "\n\n".join([table(["PART", "NAME", ""], [[s.part.kind, s.part.name, s.word] for s in seen]), *documents])


def _wanted(shop: Shop) -> tuple[Part, ...]:
    account, _ = roles.caller(shop.aws)
    target = next(name for name in ("aws", "local") if shop.recipe.target(name) == shop.target)
    values = {"target": target, "recipe": _inside(shop)}
    return parts(Place(shop.aws.region, account, shop.recipe), render.page("buildspec.yml.j2", values))


def _inside(shop: Shop) -> str:
    """The recipe as seen from the checkout, which CodeBuild has its own of."""
    path = shop.recipe.path.resolve()
    if not path.is_relative_to(shop.root):
        raise UsageError(f"{path} is not in the repository that CodeBuild checks out", next=f"move it into {shop.root}")
    return str(path.relative_to(shop.root))


def _seen(shop: Shop, part: Part) -> Seen:
    found: Mapping[str, Any] | None
    if part.kind == "project":
        found = schedules.project(shop.aws, part.name)
    elif part.kind == "schedule":
        found = schedules.schedule(shop.aws, part.name)
    else:
        found = service_roles.get(shop.aws, part.name)
    if found is None:
        return Seen(part, "missing")
    wanted = {key: value for key, value in part.wanted.items() if key != "why"}
    return Seen(part, "differs" if differs(wanted, found) else "there")
