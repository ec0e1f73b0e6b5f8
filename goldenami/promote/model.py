"""Options, preflights and results of promote, deploy and rollback."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.model.image import Image
from goldenami.model.resources import Instance
from goldenami.promote.plan import PromotionPreflight
from goldenami.promote.rollback_plan import RollbackTarget
from goldenami.rollout.timeline_model import Timeline
from goldenami.state.run_model import RunFolder


@dataclass(frozen=True)
class DeployResult:
    """The instance that serves now, and those that it has replaced."""

    instance: Instance
    image: Image
    replaced: tuple[str, ...]
    run: RunFolder


@dataclass(frozen=True)
class DeployPreflight:
    """What a deployment would do; nothing was changed.

    Attributes:
        same: Instances of this image that are there already; the first of them is to serve.
        gone: Those that it replaces.
        guarded: Those whose rows are looked at first.
    """

    preflight: PromotionPreflight
    existing: tuple[Instance, ...]
    replaced: tuple[Instance, ...]
    inspected: tuple[str, ...]
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromoteResult:
    """How a promotion ended well: what is in production now."""

    preflight: PromotionPreflight
    image: Image
    version: int
    run: RunFolder | None
    timeline: Timeline
    refresh: str = ""


@dataclass(frozen=True)
class RollbackOptions:
    """What the command line asks for: a version to go back to (the previous good one when empty), and why."""

    to: str = ""
    ami: str = ""
    watch: int | None = None
    why: str = ""


@dataclass(frozen=True)
class RollbackPreflight:
    """What a rollback would do; nothing was changed.

    Attributes:
        choice: Where to, and why there.
        disagreements: What the pointer, the template and the group say differently.
    """

    preflight: PromotionPreflight
    target: RollbackTarget
    drift: tuple[str, ...]
