"""Load a recipe from disk and check that the files it references exist."""

from __future__ import annotations

from pathlib import Path

from goldenami.errors import RecipeError
from goldenami.recipe.parse import parse
from goldenami.recipe.problems import KeyPath, Problem
from goldenami.recipe.recipe import Recipe


def load(path: Path) -> Recipe:
    """Read and validate a recipe.

    Raises:
        RecipeError: The file cannot be read, is not TOML, or has problems; each one is listed.
    """
    recipe = parse(_read(path), path)
    if missing := _missing_files(recipe):
        raise RecipeError([problem.line(path.name) for problem in missing], next=f"edit {path}")
    return recipe


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows editors write a byte-order mark
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
    app = recipe.app
    if app.is_git:
        return []
    source = recipe.folder / app.source
    if not source.is_dir():
        return [Problem(("app", "source"), "a directory that exists, or a git URL", f'"{app.source}"')]
    files: list[tuple[KeyPath, str]] = []
    if app.schema_file:
        files.append((("app", "schema"), app.schema_file))
    if app.dependencies:
        files += [(("app", "dependencies", "files"), name) for name in app.dependencies.files]
    return [
        Problem(path, f"a file in {app.source}", f'"{name}"') for path, name in files if not (source / name).is_file()
    ]
