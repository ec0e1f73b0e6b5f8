"""Options, inputs and results of a bake."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from goldenami.bake.plan import LayerPlan
from goldenami.errors import UsageError
from goldenami.model.image import Image, Layer
from goldenami.model.resources import OrphanedResource
from goldenami.model.version import Version, parse
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.targets import Target
from goldenami.state.run_model import RunFolder


@dataclass(frozen=True)
class LayerInputs:
    """Everything that a layer's folder is rendered from; the target's instance profile if `instance_profile` is empty."""

    recipe: Recipe
    target: Target
    layer: Layer
    packer_version: tuple[int, int, int]
    source_ami: str
    ami_name: str
    run_id: str
    app_commit: str = ""
    version: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    endpoint_url: str | None = None
    instance_profile: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True)
class BakeResult:
    """Result of a bake: the golden AMI, and what was done for each layer."""

    image: Image
    version: Version
    base: LayerPlan
    app: LayerPlan
    run: RunFolder | None

    @property
    def unchanged(self) -> bool:
        """True if the bake had nothing to do."""
        return self.run is None


@dataclass(frozen=True)
class SweepResult:
    """Orphaned resources: `removable` belong to ended runs, `kept` to runs that may be running."""

    removable: tuple[OrphanedResource, ...]
    kept: tuple[OrphanedResource, ...]


@dataclass(frozen=True)
class BakeOptions:
    """Options of a bake.

    Attributes:
        bump: Part of the version to increase (`minor`, `major`, `patch`); empty follows the version policy.
        fresh: Build both layers even if their inputs are unchanged.
        since: Reuse only layers that were created after this time (ISO 8601, UTC): an interrupted rebuild that is resumed
            reuses its own, and no older ones.
    """

    bump: str = ""
    version: str = ""
    fresh: bool = False
    clean: bool = False
    since: str = ""

    def check(self) -> None:
        """Raise an error if the options are invalid or exclude each other."""
        if self.bump not in ("", "minor", "major", "patch"):
            raise UsageError(f"--bump {self.bump} is unknown; expected minor, major or patch")
        if self.version:
            parse(self.version)
            if self.bump:
                raise UsageError("--bump and --version exclude each other")


def fingerprint(inputs: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of named inputs, independent of their order.

    Names and contents are prefixed with their lengths, so that different sets of inputs never have the same bytes.
    """
    digest = hashlib.sha256()
    for name in sorted(inputs):
        for part in (name.encode(), inputs[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()
