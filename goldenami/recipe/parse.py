"""Read the text of a recipe: a valid one, or every problem that it has, each with its place and what was expected."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from goldenami.errors import RecipeError
from goldenami.recipe.problems import Place, Problem, broken, explain, field_at, section_of
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


Model = TypeVar("Model", bound=BaseModel)


def mend(model: type[Model], data: dict[str, Any], error: ValidationError) -> Model | None:
    """The model with each wrong key left out or, where one must be given, set to its example.

    Returns None for data that is beyond mending.
    """
    data = copy.deepcopy(data)
    for _ in range(4):  # a section that was missing shows its missing keys once it is there
        # From the end, so that taking an item out of a list does not move the items that come before it.
        for found in reversed(error.errors()):
            _repair(model, data, tuple(found["loc"]))
        try:
            return model.model_validate(data)
        except ValidationError as again:
            error = again
    return None


def _repair(model: type[BaseModel], data: dict[str, Any], at: Place) -> None:
    at = at[:-1] if at[-1] == "[key]" else at
    place: Any = data
    for step in at[:-1]:
        try:
            place = place[step]
        except (KeyError, IndexError, TypeError):
            return
    last: Any = at[-1]
    if isinstance(place, list):
        del place[last : last + 1]
        return
    if not isinstance(place, dict):
        return
    place.pop(last, None)
    _, field = field_at(model, at)
    if field is not None and field.is_required():
        place[last] = {} if section_of(field) else copy.deepcopy((field.examples or [None])[0])
