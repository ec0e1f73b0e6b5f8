"""Read the text of a recipe: a valid one, or every problem that it has, each with its place and what was expected."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from goldenami.errors import RecipeError
from goldenami.recipe.mending import mend
from goldenami.recipe.problems import Problem, broken, explain
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.rules import check


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
    return recipe.read_from(path)


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
