"""Shared context of an operation: recipe, AWS session, clock and progress output. Created once per command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from goldenami.aws.session import AwsSession
from goldenami.model.names import ResourceNames
from goldenami.recipe.os_families import FAMILIES, Family
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.targets import Target
from goldenami.tools.clock import Clock
from goldenami.tools.progress import Progress


@dataclass(frozen=True)
class Context:
    """Recipe, target and AWS session of a command, with its clock and progress output.

    Attributes:
        root: The folder of the recipe.
        aws: The session of the account and region to work in.
    """

    root: Path
    recipe: Recipe
    target: Target
    aws: AwsSession
    clock: Clock
    progress: Progress

    @property
    def build(self) -> Path:
        """Folder of the runs."""
        return self.root / "build"

    @property
    def name(self) -> str:
        """Name of the image, the first part of every AMI's name."""
        return self.recipe.image.name

    @cached_property
    def family(self) -> Family:
        """Operating-system family of the image."""
        return FAMILIES[self.recipe.image.family]

    @property
    def names(self) -> ResourceNames:
        """Names of the fleet's resources."""
        return ResourceNames(self.name)

    @property
    def candidate(self) -> str:
        """Name of the parameter that points to the newest verified AMI."""
        return f"/goldenami/{self.name}/candidate"

    @property
    def reservations_path(self) -> str:
        """Path of the parameters that reserve version numbers."""
        return f"/goldenami/{self.name}/versions"
