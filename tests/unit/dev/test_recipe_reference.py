"""The recipe reference matches the model, and its examples are valid."""

from __future__ import annotations

import pytest

from goldenami.dev import recipe_reference
from goldenami.recipe.problems import section_of, walk
from goldenami.recipe.recipe import Recipe
from tests.support.recipes import ROOT

KEYS = [(place, field) for place, field in walk(Recipe) if section_of(field) is None]


def test_page_is_up_to_date() -> None:
    written = (ROOT / "docs/recipe.md").read_text(encoding="utf-8")
    assert written == recipe_reference.page(), "run ./invoke docs"


@pytest.mark.parametrize(("place", "field"), KEYS, ids=[".".join(map(str, place)) for place, _ in KEYS])
def test_every_key_has_description_rule_and_example(place: tuple[str, ...], field: object) -> None:
    assert field.description.endswith(".")  # type: ignore[attr-defined]
    assert field.examples  # type: ignore[attr-defined]
    assert field.json_schema_extra  # type: ignore[attr-defined]
    assert f"| `{place[-1]}` |" in recipe_reference.page()
