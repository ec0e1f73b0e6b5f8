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
    """Selection of one image: by its id, by its version, or the candidate; `retry` takes one that was rolled back, too."""

    ami: str = ""
    version: str = ""
    candidate: bool = False
    retry: bool = False


@dataclass(frozen=True)
class CopyStatus:
    """State of the copy to one destination; `account` is empty if the destination is in the same account."""

    copy: CopyTarget
    account: str
    state: CopyState
    steps: tuple[str, ...]


@dataclass(frozen=True)
class CopyResult:
    """The source image, and the copy in each destination."""

    source: Image
    copies: tuple[CopyStatus, ...]


@dataclass(frozen=True)
class DiffResult:
    """Two images, and the differences between their tags and contents."""

    before: Image
    after: Image
    tags: tuple[Change, ...]
    contents: ImageDiff


@dataclass(frozen=True)
class PruneResult:
    """Result of a prune; `kept` are images that were due, but that something references now: each with the reason."""

    decisions: tuple[RetentionDecision, ...]
    snapshots: Mapping[str, str]
    kept: Mapping[str, str]


@dataclass(frozen=True)
class RetireResult:
    """The image to retire, and what was (or would be) retired with it."""

    image: Image
    plan: RetirementPlan


@dataclass(frozen=True)
class TrimResult:
    """Result of deleting unused launch template versions; `busy` is why nothing was deleted: the fleet is locked."""

    versions: tuple[VersionDecision, ...]
    template: str = ""
    busy: str = ""

    @property
    def removable(self) -> tuple[VersionDecision, ...]:
        """Versions that nothing uses."""
        return tuple(decision for decision in self.versions if not decision.reason)


@dataclass(frozen=True)
class CatalogEntry:
    """An AMI of the recipe, with its version and status."""

    image: Image
    version: Version | None
    status: str
    candidate: bool
