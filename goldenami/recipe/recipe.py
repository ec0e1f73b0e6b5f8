"""The recipe: the one file that an operator edits, as a value that holds together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import PrivateAttr

from goldenami.errors import RecipeError
from goldenami.recipe.app import App, Parameter
from goldenami.recipe.database import Backup, Database
from goldenami.recipe.fields import Frozen, Section, Text, field
from goldenami.recipe.fleet import Fleet, Promote
from goldenami.recipe.image import CopyTarget, Image, Instance, Runtime
from goldenami.recipe.rebuild import Notify, Rebuild, Schedule
from goldenami.recipe.retention import Retention
from goldenami.recipe.targets import Target, TargetName, Targets


class Recipe(Section):
    """A validated recipe."""

    _path: Path = PrivateAttr(default=Path("golden.toml"))

    selected: TargetName = field(
        "local",
        alias="target",
        description="Where to bake unless the command line says otherwise.",
        expected='"local" or "aws"',
        example="local",
    )
    image: Image = field(description="What is baked.", example={})
    runtime: Runtime = field(description="What it needs.", example={})
    app: App = field(description="The application.", example={})
    database: Database = field(description="Its database.", example={})
    backup: Backup = field(Backup(), description="Where the database's backups go.", example={})
    parameters: Annotated[tuple[Parameter, ...], Frozen] = field(
        (), description="What it reads from Parameter Store.", expected="[[parameters]] sections", example=[]
    )
    instance: Instance = field(Instance(), description="What it runs on.", example={})
    fleet: Fleet = field(Fleet(), description="The instances that serve users, and their balancer.", example={})
    promote: Promote = field(Promote(), description="How a new image is carried to the fleet.", example={})
    rebuild: Rebuild = field(Rebuild(), description="The monthly rebuild.", example={})
    notify: Notify = field(Notify(), description="Who is told how a rebuild ended.", example={})
    schedule: Schedule = field(Schedule(), description="When the rebuild runs.", example={})
    copies: Annotated[tuple[CopyTarget, ...], Frozen] = field(
        (),
        description="Other regions and accounts that `copy` carries images to.",
        expected="[[copies]] sections",
        example=[],
    )
    retention: Retention = field(
        Retention(), description="Which images `prune` keeps; what is in use is kept in any case.", example={}
    )
    tags: dict[str, Text] = field(
        {},
        description="Further tags of all that is made.",
        expected="tags with strings as values",
        example={"Team": "web"},
    )
    targets: Targets = field(Targets(), description="Where it is baked.", example={})

    @property
    def path(self) -> Path:
        """The file that it was read from."""
        return self._path

    def read_from(self, path: Path) -> Recipe:
        """The same, as read from this file."""
        self._path = path
        return self

    @property
    def folder(self) -> Path:
        """The folder that relative paths in it start from."""
        return self._path.parent

    def target(self, name: str | None = None) -> Target:
        """The target of this name, or the one that the recipe selects.

        Raises:
            RecipeError: There is no such target.
        """
        wanted = name or self.selected
        if wanted not in Targets.model_fields:
            raise RecipeError([f"there is no target '{wanted}'; expected {' or '.join(Targets.model_fields)}"])
        found: Target = getattr(self.targets, wanted)
        return found

    def instance_type(self, target: Target) -> str:
        """The instance type that builds at a target."""
        return target.instance_type or self.instance.type


def bucket_name(recipe: Recipe, account: str, region: str) -> str:
    """The bucket of the recipe's backups; a name of its own where the recipe gives none (at most 63 characters)."""
    if recipe.backup.bucket:
        return recipe.backup.bucket
    rest = f"-{account}-{region}"
    return f"goldenami-{recipe.image.name}"[: 63 - len(rest)].rstrip("-") + rest
