"""The recipe: the one file that an operator edits, read and validated as a whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import PrivateAttr, ValidationError

from goldenami.values.application import App, Parameter
from goldenami.values.copying import Copy
from goldenami.values.database import Backup, Database
from goldenami.values.errors import RecipeError
from goldenami.values.fleet import Fleet, Promote
from goldenami.values.keep import Keep
from goldenami.values.kinds import Frozen, Section, Text, key
from goldenami.values.mending import mend
from goldenami.values.problems import Problem, broken, explain
from goldenami.values.rules import check
from goldenami.values.sections import Image, Instance, Runtime
from goldenami.values.targets import Target, TargetName, Targets
from goldenami.values.upkeep import Notify, Rebuild, Schedule


class Recipe(Section):
    """A validated recipe."""

    _path: Path = PrivateAttr(default=Path("golden.toml"))

    selected: TargetName = key(
        "local",
        alias="target",
        means="Where to bake unless the command line says otherwise.",
        expected='"local" or "aws"',
        example="local",
    )
    image: Image = key(means="What is baked.", example={})
    runtime: Runtime = key(means="What it needs.", example={})
    app: App = key(means="The application.", example={})
    database: Database = key(means="Its database.", example={})
    backup: Backup = key(Backup(), means="Where the database's backups go.", example={})
    parameters: Annotated[tuple[Parameter, ...], Frozen] = key(
        (), means="What it reads from Parameter Store.", expected="[[parameters]] sections", example=[]
    )
    instance: Instance = key(Instance(), means="What it runs on.", example={})
    fleet: Fleet = key(Fleet(), means="The instances that serve users, and their balancer.", example={})
    promote: Promote = key(Promote(), means="How a new image is carried to the fleet.", example={})
    rebuild: Rebuild = key(Rebuild(), means="The monthly rebuild.", example={})
    notify: Notify = key(Notify(), means="Who is told how a rebuild ended.", example={})
    schedule: Schedule = key(Schedule(), means="When the rebuild runs.", example={})
    copies: Annotated[tuple[Copy, ...], Frozen] = key(
        (),
        means="Other regions and accounts that `copy` carries images to.",
        expected="[[copies]] sections",
        example=[],
    )
    keep: Keep = key(Keep(), means="Which images `prune` keeps; what is in use is kept in any case.", example={})
    tags: dict[str, Text] = key(
        {},
        means="Further tags of all that is made.",
        expected="tags with strings as values",
        example={"Team": "web"},
    )
    targets: Targets = key(Targets(), means="Where it is baked.", example={})

    @property
    def path(self) -> Path:
        """The file that it was read from."""
        return self._path

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


def load(path: Path) -> Recipe:
    """Read and validate a recipe.

    Args:
        path: The TOML file, usually golden.toml.

    Raises:
        RecipeError: It cannot be read, is not TOML, or holds problems; each one is listed.
    """
    recipe = parse(_read(path), path)
    missing = _missing_files(recipe)
    if missing:
        raise RecipeError([problem.line(path.name) for problem in missing], next=f"edit {path}")
    return recipe


def parse(text: str, path: Path = Path("golden.toml")) -> Recipe:
    """Validate the text of a recipe, without looking at any other file.

    Args:
        text: TOML.
        path: Where it came from: for messages, and as the start of relative paths.

    Raises:
        RecipeError: It is not TOML or holds problems; each one is listed.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        *_, last = text.split("\n")
        end = f"at line {text.count(chr(10)) + 1}, column {len(last) + 1}, the end of the file"
        told = str(error).replace("at end of document", end)
        raise RecipeError([f"{path.name}: not valid TOML: {told}"], next=f"edit {path}") from None
    recipe, problems = _validate(data)
    if problems or recipe is None:
        lines = dict.fromkeys(problem.line(path.name) for problem in problems)
        raise RecipeError(lines, next=f"edit {path}; every key is explained in docs/recipe.md")
    recipe._path = path
    return recipe


def _read(path: Path) -> str:
    try:
        # A byte-order mark is what Windows editors leave behind.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(
            [f"there is no recipe {path}"], next="run this in the folder that holds golden.toml"
        ) from None
    except IsADirectoryError:
        raise RecipeError([f"{path} is a directory; expected a recipe file"]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([f"{path.name}: not UTF-8 text (byte {error.start})"], next=f"save {path} as UTF-8") from None
    except OSError as error:
        raise RecipeError([f"cannot read {path}: {error.strerror}"]) from None


def _validate(data: dict[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """Validate keys, then what holds between keys; the latter also when some keys are wrong, as far as they allow."""
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        problems = explain(Recipe, error)
        wrong = {problem.at for problem in problems}
        mended = mend(Recipe, data, error)
        # A rule that looks at a key that is wrong, or missing, has nothing to say yet.
        between = [p for p in check(mended) if not broken(p, wrong)] if mended else []
        return None, problems + between
    return recipe, check(recipe)


def _missing_files(recipe: Recipe) -> list[Problem]:
    if recipe.app.is_git:
        return []
    folder = recipe.folder / recipe.app.source
    if not folder.is_dir():
        return [Problem(("app", "source"), "a directory that exists, or a git URL", f'"{recipe.app.source}"')]
    needed: list[tuple[tuple[str, ...], str]] = []
    if recipe.app.schema_file:
        needed.append((("app", "schema"), recipe.app.schema_file))
    if recipe.app.dependencies:
        needed += [(("app", "dependencies", "files"), name) for name in recipe.app.dependencies.files]
    missing = [(at, name) for at, name in needed if not (folder / name).is_file()]
    return [Problem(at, f"a file in {recipe.app.source}", f'"{name}"') for at, name in missing]
