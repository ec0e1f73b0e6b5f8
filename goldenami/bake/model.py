"""All that one layer's folder is rendered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from goldenami.model.image import Layer
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.targets import Target


@dataclass(frozen=True)
class Inputs:
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
