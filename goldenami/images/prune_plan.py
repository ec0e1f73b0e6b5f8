"""Decide about every image of ours: keep it, deprecate it, deregister it; and say why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from goldenami.model.image import FAILED, IMAGE, KEEP, PRUNED, RETIRED, Image, is_managed
from goldenami.model.references import (
    Pointers,
    Reference,
    ReferenceIndex,
    find_references,
    parent_references,
    protection_references,
    rollback_targets,
)
from goldenami.recipe.retention import Retention

# `restore` keeps an image that an earlier run had deprecated; `later` is one over the cap.
RetentionAction = Literal["keep", "restore", "wait", "later", "deprecate", "deregister"]

# What weighs most is told first.
_REFERENCE_PRIORITY = ("instance", "group", "refresh", "pointer", "rollback", "template", "configuration", "parameter")


@dataclass(frozen=True)
class AccountSnapshot:
    """What a decision is made from.

    Attributes:
        owned: Every AMI of the account, ours and others', also disabled ones.
        shares: Whom those images are shared with that were asked about.
        hints: What else EC2 itself says that uses an image.
    """

    owned: tuple[Image, ...]
    references: ReferenceIndex
    shares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hints: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class RetentionDecision:
    """What is to be done about an image, why, and what names it."""

    image: Image
    action: RetentionAction
    reason: str
    referenced_by: tuple[Reference, ...] = ()


def plan(
    account: AccountSnapshot, keep: Retention, name: str, ours: Pointers, now: datetime
) -> tuple[RetentionDecision, ...]:
    """A verdict about every image that carries our name, newest first.

    Args:
        account: What there is.
        keep: The policy.
        name: The recipe's image name.
        ours: Our pointers.
        now: The time.
    """
    family = [image for image in account.owned if is_managed(image.name, name)]
    named = find_references(account.references, ours)
    good = {image.id: image for image in family if image.verified and image.state == "available"}
    for ami in rollback_targets(account.references, ours.production, good, keep.rollbacks):
        named.setdefault(ami, []).append(Reference(ami, "rollback", "a rollback may go back to it"))
    for reference in [*parent_references(account.owned), *account.hints]:
        named.setdefault(reference.resource_id, []).append(reference)
    wanted = _desired_action(family, keep, name, now)
    verdicts = []
    for image in sorted(family, key=lambda i: i.age(name), reverse=True):
        by = [*(r for thing in (image.id, *image.snapshots) for r in named.get(thing, ()))]
        by += protection_references(image, account.shares.get(image.id, ()))
        verdicts.append(_decide(image, name, sorted(by, key=_weight), wanted.get(image.id, ""), keep, now))
    return _capped(verdicts, keep.max_per_run)


def is_due(verdicts: Sequence[RetentionDecision]) -> list[RetentionDecision]:
    """What is to be deregistered now, oldest first."""
    return [verdict for verdict in reversed(verdicts) if verdict.action == "deregister"]


def with_effect(verdicts: Sequence[RetentionDecision]) -> list[RetentionDecision]:
    """What a run would do something to that ends an image's life."""
    return [verdict for verdict in verdicts if verdict.action in ("deprecate", "deregister")]


def own_snapshots(image: Image, owned: Sequence[Image]) -> tuple[str, ...]:
    """The snapshots behind an image that no other image uses."""
    others = {snapshot for other in owned if other.id != image.id for snapshot in other.snapshots}
    return tuple(snapshot for snapshot in image.snapshots if snapshot not in others)


def _desired_action(family: Sequence[Image], keep: Retention, name: str, now: datetime) -> dict[str, str]:
    """What the policy keeps, with the reason."""
    found: dict[str, str] = {}
    newest = sorted(family, key=lambda i: i.age(name), reverse=True)
    golden = [i for i in newest if i.verified and i.state == "available" and i.layer != "base"]
    for image in golden[: keep.verified]:
        found.setdefault(image.id, f"one of the newest {keep.verified} verified")
    months = {image.created[:7]: image for image in reversed(golden)}
    for month in sorted(months, reverse=True)[: keep.months]:
        found.setdefault(months[month].id, f"the newest verified of {month}")
    for image in [i for i in newest if i.layer == "base" and i.alive and not i.bad][:1]:
        found.setdefault(image.id, "the newest base layer: the next bake starts from it")
    for image in newest:
        if now - _time(image.created, now) < timedelta(days=keep.minimum_age_days):
            found.setdefault(image.id, f"younger than {keep.minimum_age_days} days")
    return found


def _decide(
    image: Image, name: str, by: Sequence[Reference], wanted: str, keep: Retention, now: datetime
) -> RetentionDecision:
    if image.tags.get(IMAGE) != name:
        return RetentionDecision(
            image, "keep", f"it has our name, but no tag {IMAGE}={name}: not made by us", tuple(by)
        )
    kept = _kept(image, by, wanted)
    if kept:
        return RetentionDecision(image, "restore" if PRUNED in image.tags else "keep", kept, tuple(by))
    why = _why(image, now)
    if not image.deprecated or _time(image.deprecated, now) > now + timedelta(hours=1):
        return RetentionDecision(image, "deprecate", why)
    since = now - _time(image.deprecated, now)
    if since < timedelta(days=keep.grace_days):
        return RetentionDecision(image, "wait", f"{why}; deprecated, its {keep.grace_days} days of grace are not over")
    return RetentionDecision(image, "deregister", f"{why}; deprecated for {max(since.days, 0)} days")


def _kept(image: Image, by: Sequence[Reference], wanted: str) -> str:
    """Why an image stays, or nothing."""
    if image.state not in ("available", "failed"):
        return f"its state is {image.state}"
    if KEEP in image.tags:
        return f"its tag {KEEP} says so: {image.tags[KEEP]}".rstrip(": ")
    if by:
        more = f", and {len(by) - 1} more" if len(by) > 1 else ""
        return by[0].by + more
    return wanted


def _why(image: Image, now: datetime) -> str:
    age = f"{(now - _time(image.created, now)).days} days old, nothing names it"
    if RETIRED in image.tags:
        return f"retired, {age}"
    if image.state == "failed" or FAILED in image.tags:
        return f"failed, {age}"
    if image.layer == "base":
        return f"a base layer without images, {age}"
    return f"{'beyond the policy' if image.verified else 'not verified'}, {age}"


def _capped(verdicts: Sequence[RetentionDecision], most: int) -> tuple[RetentionDecision, ...]:
    """With no more to do than one run may: the oldest first."""
    done = {"deprecate": 0, "deregister": 0}
    told = []
    for verdict in reversed(verdicts):
        if verdict.action in done:
            done[verdict.action] += 1
            if done[verdict.action] > most:
                verdict = replace(verdict, action="later", reason=f"{verdict.reason}; over the {most} of one run")
        told.append(verdict)
    return tuple(reversed(told))


def _weight(reference: Reference) -> int:
    return (
        _REFERENCE_PRIORITY.index(reference.kind) if reference.kind in _REFERENCE_PRIORITY else len(_REFERENCE_PRIORITY)
    )


def _time(text: str, now: datetime) -> datetime:
    """A time of EC2; where there is none, now: it counts as young."""
    return datetime.fromisoformat(text) if text else now


def counts(verdicts: Sequence[RetentionDecision]) -> Iterator[tuple[str, int]]:
    """How many of each action there are."""
    for action in ("keep", "restore", "wait", "later", "deprecate", "deregister"):
        if number := sum(verdict.action == action for verdict in verdicts):
            yield action, number
