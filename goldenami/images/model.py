"""Options and results of the commands that work on images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from goldenami.images.copy_plan import CopyState
from goldenami.images.diff_plan import Change, ImageDiff
from goldenami.images.prune_plan import RetentionDecision
from goldenami.images.retire_plan import RetirementPlan
from goldenami.images.template_versions_plan import VersionDecision
from goldenami.model.image import Image
from goldenami.model.version import Version
from goldenami.recipe.image import CopyTarget


@dataclass(frozen=True)
class ImageSelector:
    """Selection of one image: by its id, by its version, or the candidate."""

    ami: str = ""
    version: str = ""
    candidate: bool = False


@dataclass(frozen=True)
class CopyStatus:
    """How far the copy to one destination is.

    Attributes:
        account: The destination's account, where it is another one; else empty.
        steps: What is still to be done.
    """

    copy: CopyTarget
    account: str
    state: CopyState
    steps: tuple[str, ...]


@dataclass(frozen=True)
class CopyResult:
    """The original, and the copy of each destination."""

    source: Image
    copies: tuple[CopyStatus, ...]


@dataclass(frozen=True)
class DiffResult:
    """Both images, what their tags say differently, and what is known of what is in them."""

    before: Image
    after: Image
    tags: tuple[Change, ...]
    contents: ImageDiff


@dataclass(frozen=True)
class PruneResult:
    """What came of it.

    Attributes:
        verdicts: About every image of ours, newest first.
        snapshots: The snapshots that were deleted, each with the image that it belonged to.
        held: Images that were to go and stayed, because something changed in the meantime; with what.
    """

    decisions: tuple[RetentionDecision, ...]
    snapshots: Mapping[str, str]
    kept: Mapping[str, str]


@dataclass(frozen=True)
class RetireResult:
    """What was marked (or would be)."""

    image: Image
    plan: RetirementPlan


@dataclass(frozen=True)
class TrimResult:
    """What was found: every version with the reason why it stays, or without one.

    Attributes:
        template: The launch template's id.
        busy: Why nothing was deleted, when somebody is changing the fleet.
    """

    versions: tuple[VersionDecision, ...]
    template: str = ""
    busy: str = ""

    @property
    def removable(self) -> tuple[VersionDecision, ...]:
        """The versions without a reason to stay."""
        return tuple(judged for judged in self.versions if not judged.reason)


@dataclass(frozen=True)
class CatalogEntry:
    """An AMI of ours with what it is to us."""

    image: Image
    version: Version | None
    status: str
    candidate: bool
