"""All that one layer's folder is rendered from."""

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
    """All that a layer's folder is rendered from.

    Attributes:
        source_ami: The literal AMI id to start from.
        app_commit: The commit (or digest) of the application's source.
        tags: All tags of the AMI; its snapshot, builder and volume carry them too.
        endpoint_url: Another address of the AWS API, or None for Amazon's own.
        instance_profile: The builder's instance profile; empty takes the target's.
    """

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
    """The golden AMI of a bake, and how it came to be."""

    image: Image
    version: Version
    base: LayerPlan
    app: LayerPlan
    run: RunFolder | None

    @property
    def unchanged(self) -> bool:
        """Whether there was nothing to do."""
        return self.run is None


@dataclass(frozen=True)
class SweepResult:
    """What was found: `removable` belongs to runs that are known to be dead, `kept` to runs that may be alive."""

    removable: tuple[OrphanedResource, ...]
    kept: tuple[OrphanedResource, ...]


@dataclass(frozen=True)
class BakeOptions:
    """What the command line asks for.

    Attributes:
        since: Only layers that were made after this moment (ISO 8601, UTC) are taken as they are: a rebuild that goes on
            takes up its own, and nothing older.
    """

    bump: str = ""
    version: str = ""
    fresh: bool = False
    clean: bool = False
    since: str = ""

    def check(self) -> None:
        """Raise an error if the options are invalid or exclude each other.

        Raises:
            UsageError: `bump` is unknown, `version` is malformed, or both are given.
        """
        if self.bump not in ("", "minor", "major", "patch"):
            raise UsageError(f"--bump {self.bump} is unknown; expected minor, major or patch")
        if self.version:
            parse(self.version)
            if self.bump:
                raise UsageError("--bump and --version exclude each other")


def fingerprint(inputs: Mapping[str, bytes]) -> str:
    """Digest named inputs, whatever the order in which they come.

    Names and contents are framed by their lengths, so that no two different sets of inputs can look the same.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(inputs):
        for part in (name.encode(), inputs[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()
