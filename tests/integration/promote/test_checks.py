"""Promotions and rollbacks of images whose health path is green, and which do not answer as the recipe's checks expect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.promote import model as promote_model, rollback
from goldenami.recipe.app import ResponseCheck
from tests.integration.promote.test_promote import (
    Yard,
    pytestmark as promotions,
    yard,  # noqa: F401 - a fixture
)

pytestmark = promotions


def checking(yard: Yard) -> Context:
    """A context whose recipe expects a word on a page."""
    ctx = yard.ctx()
    checks = (ResponseCheck(path="/page", contains="good"),)
    return replace(ctx, recipe=ctx.recipe.model_copy(update={"checks": checks}))


def test_promote_stops_at_a_response_without_the_expected_text(yard: Yard) -> None:
    yard.resize(1)
    good = yard.image("good")
    yard.promote(good, checking(yard))
    bad = yard.image("broken page")
    with pytest.raises(GateError, match=r"HTTP 200 from http://\S+/page without 'good': i-\w+ broken page"):
        yard.promote(bad, checking(yard))
    yard.at_rest(good)


def test_rollback_stops_at_a_response_without_the_expected_text(yard: Yard) -> None:
    yard.resize(1)
    bad, good = yard.image("broken page"), yard.image("good")
    yard.promote(bad)
    yard.promote(good)
    ctx, options = checking(yard), promote_model.RollbackOptions(ami=bad)
    with pytest.raises(GateError, match="without 'good'"):
        rollback.rollback(ctx, rollback.preflight(ctx, options), options)
    yard.at_rest(good)
