"""Decide, without touching anything, whether a rebuild is due: each reason in words, and how it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from goldenami.model.image import COMMIT, SOURCE_AMI, Image, short_commit

ReasonKind = Literal["no-image", "source-ami", "recipe", "application", "packages", "age"]


@dataclass(frozen=True)
class PendingUpdates:
    """Package updates that a machine of the image says are waiting.

    Attributes:
        machine: The instance that was asked.
        packages: Their names.
    """

    instance: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class RebuildInputs:
    """What there is, and what a bake of now would be made from.

    Attributes:
        candidate: The published image; None where there is none that still stands.
        base: The base AMI under it; None where that is gone.
        source_ami: What a bake of now would start from.
        commit: The application's commit of now.
        recipe: For each layer, whether the recipe would make it otherwise on the same source AMI, base and commit.
        pending: What a machine of this image says about updates; None where none could be asked.
    """

    candidate: Image | None
    base: Image | None
    source_ami: str
    commit: str
    recipe: Mapping[str, bool]
    pending: PendingUpdates | None = None


@dataclass(frozen=True)
class RebuildReason:
    """Why a rebuild is due. `seen` is false for what is only assumed."""

    kind: ReasonKind
    text: str
    seen: bool = True


def rebuild_reasons(stock: RebuildInputs, max_age_days: int, now: datetime) -> tuple[RebuildReason, ...]:
    """Every reason for a rebuild; none when nothing has changed.

    Args:
        stock: What is there.
        max_age_days: The recipe's limit; 0 for none.
        now: The time of day.
    """
    candidate = stock.candidate
    if candidate is None:
        return (RebuildReason("no-image", "there is no verified image yet"),)
    found = []
    base = stock.base
    before = base.tags.get(SOURCE_AMI, "") if base else ""
    if base is None:
        gone = candidate.tags.get(SOURCE_AMI, "of it")
        found.append(RebuildReason("source-ami", f"the base AMI {gone} is gone, so what it was made from is not known"))
    elif before != stock.source_ami:
        found.append(
            RebuildReason("source-ami", f"a newer source AMI is published: {stock.source_ami} (the base has {before})")
        )
    changed = [layer for layer in ("base", "app") if stock.recipe.get(layer)]
    if changed:
        found.append(
            RebuildReason("recipe", f"the recipe, or what is baked by it, has changed: {' and '.join(changed)} layer")
        )
    commit = candidate.tags.get(COMMIT, "")
    if commit != stock.commit:
        found.append(
            RebuildReason(
                "application",
                f"the application is at {short_commit(stock.commit)} (the image has {short_commit(commit)})",
            )
        )
    if stock.pending and stock.pending.packages:
        told = ", ".join(stock.pending.packages[:5]) + (", …" if len(stock.pending.packages) > 5 else "")
        count = len(stock.pending.packages)
        found.append(
            RebuildReason("packages", f"{count} package update(s) are waiting, says {stock.pending.instance}: {told}")
        )
    age = age_days(base or candidate, now)
    if max_age_days and age >= max_age_days:
        text = f"the packages were last updated {age} days ago (the limit is {max_age_days})"
        found.append(RebuildReason("age", text, seen=False))
    return tuple(found)


def package_reasons(stock: RebuildInputs, now: datetime) -> str:
    """What is known about waiting package updates, and how: one sentence that claims no more than that."""
    if stock.candidate is None:
        return "there is no image yet"
    age = age_days(stock.base or stock.candidate, now)
    if stock.pending is None:
        return (
            f"not known: no serving instance of this image could be asked; its packages were updated {age} day(s) ago,"
            " when its base was baked"
        )
    count = len(stock.pending.packages)
    return f"{count or 'no'} update(s) waiting, as {stock.pending.instance} says, which runs this image"


def age_days(image: Image, now: datetime) -> int:
    """Whole days since an AMI was made."""
    made = datetime.fromisoformat(image.created)
    return max(0, (now - (made if made.tzinfo else made.replace(tzinfo=UTC))).days)
