"""Options, preflights and results of promote, deploy and rollback."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.images.model import ImageSelector
from goldenami.model.image import Image
from goldenami.model.resources import Instance
from goldenami.promote.plan import PromotionPreflight
from goldenami.promote.rollback_plan import RollbackTarget
from goldenami.rollout.timeline_model import Timeline
from goldenami.state.run_model import RunFolder


@dataclass(frozen=True)
class PromoteOptions:
    """Options of promote and deploy; None means the recipe's value.

    Attributes:
        selector: Selects the image.
        canary: Percent of the instances that are replaced first.
        watch: Seconds that they are monitored.
        unverified: Accept an image that is not verified.
        schema_newer: Accept a database with migrations that the image lacks.
        rehearse: Run the release step on a copy of the data first; False for `--no-rehearsal`.
        why: Reason, recorded in the history.
    """

    selector: ImageSelector
    canary: int | None = None
    watch: int | None = None
    unverified: bool = False
    schema_newer: bool = False
    rehearse: bool = True
    why: str = ""


@dataclass(frozen=True)
class DeployResult:
    """The instance in service, and those that it has replaced."""

    instance: Instance
    image: Image
    replaced: tuple[str, ...]
    run: RunFolder


@dataclass(frozen=True)
class DeployPreflight:
    """State and plan of a deployment.

    Attributes:
        existing: Running instances of this image; the first one is used.
        replaced: Instances to be replaced.
        inspected: Ids of the instances whose databases are inspected first.
    """

    preflight: PromotionPreflight
    existing: tuple[Instance, ...]
    replaced: tuple[Instance, ...]
    inspected: tuple[str, ...]
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromoteResult:
    """Result of a successful promotion; without a run there was nothing to change."""

    preflight: PromotionPreflight
    image: Image
    version: int
    run: RunFolder | None
    timeline: Timeline
    refresh: str = ""


@dataclass(frozen=True)
class RollbackOptions:
    """Options of rollback: the image by version or id (default: the previous verified one); the others as of promote."""

    to: str = ""
    ami: str = ""
    watch: int | None = None
    schema_newer: bool = False
    rehearse: bool = True
    why: str = ""


@dataclass(frozen=True)
class RollbackPreflight:
    """State and plan of a rollback.

    Attributes:
        drift: Differences between the production parameter, the template and the group.
    """

    preflight: PromotionPreflight
    target: RollbackTarget
    drift: tuple[str, ...]
