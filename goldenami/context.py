"""What every flow works with: the recipe, the account, the clock and a voice. Made once, by the task."""

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
    """The workshop.

    Attributes:
        root: The folder of the recipe.
        aws: The account and region to work in.
    """

    root: Path
    recipe: Recipe
    target: Target
    aws: AwsSession
    clock: Clock
    progress: Progress

    @property
    def build(self) -> Path:
        """Where the runs are kept."""
        return self.root / "build"

    @property
    def name(self) -> str:
        """The image's name: the first part of every AMI's name."""
        return self.recipe.image.name

    @cached_property
    def family(self) -> Family:
        """The operating-system family's facts."""
        return FAMILIES[self.recipe.image.family]

    @property
    def names(self) -> ResourceNames:
        """What the parts of the fleet are called."""
        return ResourceNames(self.name)

    @property
    def candidate(self) -> str:
        """The parameter that names the newest verified AMI."""
        return f"/goldenami/{self.name}/candidate"

    @property
    def reservations_path(self) -> str:
        """The path under which version numbers are claimed."""
        return f"/goldenami/{self.name}/versions"
