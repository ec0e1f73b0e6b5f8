"""Decide about every image of the recipe: keep, deprecate or deregister it, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

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

# `restore` keeps an image that an earlier run deprecated; `later` is beyond the limit of one run.
RetentionAction = Literal["keep", "restore", "wait", "later", "deprecate", "deregister"]

# The most important reference comes first.
_REFERENCE_PRIORITY = ("instance", "group", "refresh", "pointer", "rollback", "template", "configuration", "parameter")


@dataclass(frozen=True)
class AccountSnapshot:
    """State of the account that decisions depend on.

    Attributes:
        owned: Every AMI of the account, also disabled ones and those of other recipes.
        shares: Launch permissions of images, as far as they were read.
        hints: Further references to an image that EC2 reports.
    """

    owned: tuple[Image, ...]
    references: ReferenceIndex
    shares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hints: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class RetentionDecision:
    """The action for an image, its reason, and what references the image."""

    image: Image
    action: RetentionAction
    reason: str
    referenced_by: tuple[Reference, ...] = ()


def plan(
    account: AccountSnapshot, policy: Retention, name: str, pointers: Pointers, now: datetime
) -> tuple[RetentionDecision, ...]:
    """Decide about every image with the recipe's name, newest first."""
    family = sorted(
        (image for image in account.owned if is_managed(image.name, name)), key=lambda i: i.age(name), reverse=True
    )
    found = find_references(account.references, pointers)
    good = {image.id: image for image in family if image.verified and image.state == "available"}
    for ami in rollback_targets(account.references, pointers.production, good, policy.rollbacks):
        found.setdefault(ami, []).append(Reference(ami, "rollback", "it is a rollback target"))
    for reference in [*parent_references(account.owned), *account.hints]:
        found.setdefault(reference.resource_id, []).append(reference)
    kept = _kept_by_policy(family, policy, now)
    decisions = []
    for image in family:
        referenced_by = [*(r for resource in (image.id, *image.snapshots) for r in found.get(resource, ()))]
        referenced_by += protection_references(image, account.shares.get(image.id, ()))
        referenced_by.sort(key=_priority)
        decisions.append(_decide(image, name, referenced_by, kept.get(image.id, ""), policy, now))
    return _limit(decisions, policy.max_per_run)


def is_due(decisions: Sequence[RetentionDecision]) -> list[RetentionDecision]:
    """Return the images to deregister now, oldest first."""
    return [decision for decision in reversed(decisions) if decision.action == "deregister"]


def ending(decisions: Sequence[RetentionDecision]) -> list[RetentionDecision]:
    """Return the images to deprecate or deregister."""
    return [decision for decision in decisions if decision.action in ("deprecate", "deregister")]


def own_snapshots(image: Image, owned: Sequence[Image]) -> tuple[str, ...]:
    """Return the snapshots of an image that no other image uses."""
    others = {snapshot for other in owned if other.id != image.id for snapshot in other.snapshots}
    return tuple(snapshot for snapshot in image.snapshots if snapshot not in others)


def _kept_by_policy(family: Sequence[Image], policy: Retention, now: datetime) -> dict[str, str]:
    kept: dict[str, str] = {}
    golden = [i for i in family if i.verified and i.state == "available" and i.layer != "base"]
    for image in golden[: policy.verified]:
        kept.setdefault(image.id, f"one of the newest {policy.verified} verified")
    months = {image.created[:7]: image for image in reversed(golden)}
    for month in sorted(months, reverse=True)[: policy.months]:
        kept.setdefault(months[month].id, f"the newest verified of {month}")
    for image in [i for i in family if i.layer == "base" and i.alive and not i.bad][:1]:
        kept.setdefault(image.id, "the newest base layer: the next bake starts from it")
    for image in family:
        if now - _time(image.created, now) < timedelta(days=policy.minimum_age_days):
            kept.setdefault(image.id, f"younger than {policy.minimum_age_days} days")
    return kept


def _decide(
    image: Image, name: str, referenced_by: Sequence[Reference], kept_by_policy: str, policy: Retention, now: datetime
) -> RetentionDecision:
    references = tuple(referenced_by)
    if image.tags.get(IMAGE) != name:
        reason = f"not managed by goldenami: it has the name, but no tag {IMAGE}={name}"
        return RetentionDecision(image, "keep", reason, references)
    if kept := _keep_reason(image, references, kept_by_policy):
        return RetentionDecision(image, "restore" if PRUNED in image.tags else "keep", kept, references)
    reason = _expiry_reason(image, now)
    if not image.deprecated or _time(image.deprecated, now) > now + timedelta(hours=1):
        return RetentionDecision(image, "deprecate", reason)
    since = now - _time(image.deprecated, now)
    if since < timedelta(days=policy.grace_days):
        grace = f"within the grace period of {policy.grace_days} days"
        return RetentionDecision(image, "wait", f"{reason}; deprecated, {grace}")
    return RetentionDecision(image, "deregister", f"{reason}; deprecated for {max(since.days, 0)} days")


def _keep_reason(image: Image, referenced_by: Sequence[Reference], kept_by_policy: str) -> str:
    if image.state == "disabled":  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/disable-an-ami.html
        return f"it is disabled: aws ec2 enable-image --image-id {image.id} makes it subject to the policy again"
    if image.state not in ("available", "failed"):
        return f"its state is {image.state}"
    if KEEP in image.tags:
        return f"tagged {KEEP}: {image.tags[KEEP]}".rstrip(": ")
    if referenced_by:
        more = f", and {len(referenced_by) - 1} more" if len(referenced_by) > 1 else ""
        return referenced_by[0].by + more
    return kept_by_policy


def _expiry_reason(image: Image, now: datetime) -> str:
    age = f"{(now - _time(image.created, now)).days} days old, not in use"
    if RETIRED in image.tags:
        return f"retired, {age}"
    if image.state == "failed" or FAILED in image.tags:
        return f"failed, {age}"
    if image.layer == "base":
        return f"a base layer without images, {age}"
    return f"{'beyond the policy' if image.verified else 'not verified'}, {age}"


def _limit(decisions: Sequence[RetentionDecision], per_run: int) -> tuple[RetentionDecision, ...]:
    """Postpone what exceeds the limit of one run; the oldest images come first."""
    count = {"deprecate": 0, "deregister": 0}
    limited = []
    for decision in reversed(decisions):
        if decision.action in count:
            count[decision.action] += 1
            if count[decision.action] > per_run:
                reason = f"{decision.reason}; over the limit of {per_run} per run"
                decision = replace(decision, action="later", reason=reason)
        limited.append(decision)
    return tuple(reversed(limited))


def _priority(reference: Reference) -> int:
    kind = reference.kind
    return _REFERENCE_PRIORITY.index(kind) if kind in _REFERENCE_PRIORITY else len(_REFERENCE_PRIORITY)


def _time(text: str, now: datetime) -> datetime:
    """Parse a time of EC2; an image without one counts as new."""
    return datetime.fromisoformat(text) if text else now


def counts(decisions: Sequence[RetentionDecision]) -> Iterator[tuple[str, int]]:
    """Yield the number of images of each action."""
    for action in get_args(RetentionAction):
        if number := sum(decision.action == action for decision in decisions):
            yield action, number
