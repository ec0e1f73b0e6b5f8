"""The request of a rollback."""

from __future__ import annotations

import pytest

from goldenami.model.fleet import FleetState
from goldenami.promote import rollback
from goldenami.promote.model import RollbackOptions
from tests.support.contexts import Checkout
from tests.support.fleet_states import OLD, image


@pytest.mark.parametrize(("recipe", "option"), [(True, True), (True, False), (False, True)])
def test_rollback_rehearses_unless_the_recipe_or_the_command_line_says_no(
    at: Checkout, recipe: bool, option: bool
) -> None:
    ctx = at.ctx({"app.schema": "", "release.migrations": "migrations/", "release.rehearsal": recipe})
    request = rollback.build_request(ctx, FleetState(), image(OLD), RollbackOptions(rehearse=option))
    assert request.rehearse is (recipe and option)
