"""Mend a recipe that has wrong keys, so that the rules between keys can be checked on the rest of it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from goldenami.recipe.problems import Place, field_at, section_of

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
