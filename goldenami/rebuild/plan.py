"""Decide whether a rebuild is due: each reason, and whether it was observed or is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from goldenami.model.image import COMMIT, SOURCE_AMI, Image, short_commit

ReasonKind = Literal["no-image", "source-ami", "recipe", "application", "packages", "age"]


@dataclass(frozen=True)
class PendingUpdates:
    """Pending package updates of an instance of the image.

    Attributes:
        instance: Id of the instance.
        packages: Names of the packages.
    """

    instance: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class RebuildInputs:
    """The published image, and the inputs of a bake now.

    Attributes:
        candidate: The published image; None if there is none that is good.
        base: Its base layer; None if it was deleted.
        source_ami: The source AMI of a bake now.
        commit: The application's commit of a bake now.
        recipe: For each layer, whether the recipe has changed, apart from source AMI, base and commit.
        pending: Pending updates of an instance of this image; None if they are unknown.
    """

    candidate: Image | None
    base: Image | None
    source_ami: str
    commit: str
    recipe: Mapping[str, bool]
    pending: PendingUpdates | None = None


@dataclass(frozen=True)
class RebuildReason:
    """Why a rebuild is due. `seen` is false if it is only assumed."""

    kind: ReasonKind
    text: str
    seen: bool = True


def rebuild_reasons(inputs: RebuildInputs, max_age_days: int, now: datetime) -> tuple[RebuildReason, ...]:
    """Return every reason for a rebuild; empty if nothing has changed.

    Args:
        inputs: The published image, and the inputs of a bake now.
        max_age_days: Age limit of the packages; 0 for none.
        now: The current time.
    """
    candidate = inputs.candidate
    if candidate is None:
        return (RebuildReason("no-image", "there is no verified image yet"),)
    reasons = []
    base = inputs.base
    source_ami = base.tags.get(SOURCE_AMI, "") if base else ""
    if base is None:
        ami = candidate.tags.get(SOURCE_AMI, "of it")
        text = f"the base AMI {ami} does not exist any more, so its source AMI is unknown"
        reasons.append(RebuildReason("source-ami", text))
    elif source_ami != inputs.source_ami:
        text = f"a newer source AMI is published: {inputs.source_ami} (the base has {source_ami})"
        reasons.append(RebuildReason("source-ami", text))
    changed = [layer for layer in ("base", "app") if inputs.recipe.get(layer)]
    if changed:
        text = f"the recipe, or a file that it bakes, has changed: {' and '.join(changed)} layer"
        reasons.append(RebuildReason("recipe", text))
    commit = candidate.tags.get(COMMIT, "")
    if commit != inputs.commit:
        text = f"the application is at {short_commit(inputs.commit)} (the image has {short_commit(commit)})"
        reasons.append(RebuildReason("application", text))
    if inputs.pending and inputs.pending.packages:
        packages = inputs.pending.packages
        names = ", ".join(packages[:5]) + (", …" if len(packages) > 5 else "")
        text = f"{len(packages)} package update(s) are pending on {inputs.pending.instance}: {names}"
        reasons.append(RebuildReason("packages", text))
    age = age_days(base or candidate, now)
    if max_age_days and age >= max_age_days:
        text = f"the packages were last updated {age} days ago (the limit is {max_age_days})"
        reasons.append(RebuildReason("age", text, seen=False))
    return tuple(reasons)


def pending_updates_text(inputs: RebuildInputs, now: datetime) -> str:
    """Return what is known about pending package updates, and how, in one sentence."""
    if inputs.candidate is None:
        return "there is no image yet"
    if inputs.pending is None:
        age = age_days(inputs.base or inputs.candidate, now)
        return (
            f"unknown: no instance in service of this image could be queried; its packages were updated {age} day(s) ago,"
            " when its base was baked"
        )
    count = len(inputs.pending.packages)
    return f"{count or 'no'} update(s) pending on {inputs.pending.instance}, an instance of this image"


def age_days(image: Image, now: datetime) -> int:
    """Return the age of an AMI in whole days."""
    created = datetime.fromisoformat(image.created)
    return max(0, (now - (created if created.tzinfo else created.replace(tzinfo=UTC))).days)
