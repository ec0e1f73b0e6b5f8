"""The recipe on the disk: read, and held against the files that it names."""

from __future__ import annotations

from pathlib import Path

from goldenami.errors import RecipeError
from goldenami.recipe.parse import parse
from goldenami.recipe.problems import Problem
from goldenami.recipe.recipe import Recipe


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
