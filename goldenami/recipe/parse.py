"""Parse the text of a recipe: a valid recipe, or every problem with its key and the expected value."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from goldenami.errors import RecipeError
from goldenami.recipe.problems import explain
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.rules import check


def parse(text: str, path: Path = Path("golden.toml")) -> Recipe:
    """Validate the text of a recipe, read from `path`, without reading any other file.

    The keys are checked first. The rules between keys are checked once every key is valid.

    Raises:
        RecipeError: The text is not TOML or has problems; each one is listed.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        *_, last_line = text.split("\n")
        end = f"at line {text.count(chr(10)) + 1}, column {len(last_line) + 1}, the end of the file"
        message = str(error).replace("at end of document", end)
        raise RecipeError([f"{path.name}: not valid TOML: {message}"], next=f"edit {path}") from None
    try:
        recipe = Recipe.model_validate(data)
        problems = check(recipe)
    except ValidationError as error:
        problems = explain(Recipe, error)
    if problems:
        lines = dict.fromkeys(problem.line(path.name) for problem in problems)
        raise RecipeError(lines, next=f"edit {path}; every key is explained in docs/recipe.md")
    return recipe.read_from(path)
