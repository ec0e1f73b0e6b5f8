"""The recipe: the contents of golden.toml as a validated model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import PrivateAttr

from goldenami.errors import RecipeError
from goldenami.recipe.app import App, Parameter, ResponseCheck
from goldenami.recipe.database import Backup, Database
from goldenami.recipe.fields import Frozen, Section, Text, field
from goldenami.recipe.fleet import Fleet, Promote
from goldenami.recipe.image import CopyTarget, Image, Instance, Runtime
from goldenami.recipe.rebuild import Notify, Rebuild, Schedule
from goldenami.recipe.release import Release
from goldenami.recipe.retention import Retention
from goldenami.recipe.targets import Target, TargetName, Targets


class Recipe(Section):
    """A validated recipe."""

    _path: Path = PrivateAttr(default=Path("golden.toml"))

    default_target: TargetName = field(
        "local",
        alias="target",
        description="Default target; `--target` overrides it.",
        expected='"local" or "aws"',
        example="local",
    )
    image: Image = field(description="Name, operating system and version policy of the image.", example={})
    runtime: Runtime = field(description="Software that the application needs.", example={})
    app: App = field(description="Source, build and service of the application.", example={})
    database: Database = field(description="Database of the application.", example={})
    release: Release = field(Release(), description="Schema changes of a new version.", example={})
    backup: Backup = field(Backup(), description="S3 bucket of the database's backups.", example={})
    parameters: Annotated[tuple[Parameter, ...], Frozen] = field(
        (),
        description="Parameters of Parameter Store that the application reads.",
        expected="[[parameters]] sections",
        example=[],
    )
    checks: Annotated[tuple[ResponseCheck, ...], Frozen] = field(
        (),
        description="Requests that a new instance must answer as expected, beside the health check: in both gates, and while a"
        " promotion or rollback is monitored. They are made with an empty database, too.",
        expected="[[checks]] sections",
        example=[],
    )
    instance: Instance = field(Instance(), description="EC2 instances of the fleet and the builder.", example={})
    fleet: Fleet = field(Fleet(), description="Auto Scaling group and load balancer of the fleet.", example={})
    promote: Promote = field(Promote(), description="Rollout of a new image to the fleet.", example={})
    rebuild: Rebuild = field(Rebuild(), description="Monthly rebuild.", example={})
    notify: Notify = field(Notify(), description="Destinations of notifications about rebuilds.", example={})
    schedule: Schedule = field(Schedule(), description="Time of the monthly rebuild.", example={})
    copies: Annotated[tuple[CopyTarget, ...], Frozen] = field(
        (), description="Regions and accounts that `copy` copies images to.", expected="[[copies]] sections", example=[]
    )
    retention: Retention = field(
        Retention(), description="Retention policy of `prune`. Images in use are always kept.", example={}
    )
    tags: dict[str, Text] = field(
        {},
        description="Additional tags of every resource that goldenami creates.",
        expected="tags with strings as values",
        example={"Team": "web"},
    )
    targets: Targets = field(Targets(), description="Accounts and regions to work in.", example={})

    @property
    def path(self) -> Path:
        """File that the recipe was read from."""
        return self._path

    def read_from(self, path: Path) -> Recipe:
        """Set the file that the recipe was read from, and return the recipe."""
        self._path = path
        return self

    @property
    def folder(self) -> Path:
        """Folder that relative paths in the recipe start from."""
        return self._path.parent

    def target(self, name: str | None = None) -> Target:
        """Return the target of this name, or the recipe's default target.

        Raises:
            RecipeError: The target does not exist.
        """
        name = name or self.default_target
        if name not in Targets.model_fields:
            raise RecipeError([f"there is no target '{name}'; expected {' or '.join(Targets.model_fields)}"])
        target: Target = getattr(self.targets, name)
        return target

    def instance_type(self, target: Target) -> str:
        """Return the instance type of the builder at a target."""
        return target.instance_type or self.instance.type


def bucket_name(recipe: Recipe, account: str, region: str) -> str:
    """Return the name of the backup bucket; the default name is shortened to S3's limit of 63 characters."""
    if recipe.backup.bucket:
        return recipe.backup.bucket
    rest = f"-{account}-{region}"
    return f"goldenami-{recipe.image.name}"[: 63 - len(rest)].rstrip("-") + rest
