"""The release step with data on the instance: applied to the transferred copy, before the new instance serves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from goldenami.database.release import ReleaseError
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.release import Release
from tests.integration.database.test_transfer import Clerk, Keeper, Pier, Shelf, Wharf
from tests.integration.database.test_volume import shared_fleet
from tests.integration.promote.test_promote import pytestmark as promotions

pytestmark = promotions

FAILURE = b"ERROR 003_unique.sql, line 2: ERROR:  could not create unique index\nSTATE The database is as before 003_unique.sql\n"


class Releaser(Keeper):
    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        if b"action=release-apply\n" not in stdin:
            return super().run(argv, stdin, timeout)
        self.driver.asked.append(f"release-apply {self.id}")
        if "apply fails" in self.serves:
            return 1, b"", FAILURE
        result = {"applied": [{"name": "003_unique.sql", "seconds": 0.1, "locks": []}]}
        return 0, f"RESULT {json.dumps(result)}\n".encode(), b""


class Releasers(Shelf):
    def machine(self, spec: Any) -> Releaser:
        self.machines.append(Releaser(spec, self))
        return self.machines[-1]  # type: ignore[return-value]


class Slip(Wharf):
    driver_type = Releasers


class Berth(Pier):
    def wanted(self) -> Recipe:
        return super().wanted().model_copy(update={"release": Release(migrations="migrations")})


@pytest.fixture(scope="module")
def berth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Berth]:
    with shared_fleet(tmp_path_factory.mktemp("berth"), Slip, Berth) as fleet:
        yield fleet


def test_release_step_runs_on_the_transferred_data_before_the_service_starts(berth: Berth) -> None:
    image = berth.image("good")
    with Clerk(berth) as clerk:
        berth.promote(image)
    berth.serves(image)
    clerk.check()
    target = berth.machine().id
    actions = [asked for asked in berth.driver.asked if asked.split()[1] == target and "inspect" not in asked]
    # The last one confirms that the database is the transferred one, before the old instance is terminated.
    expected = ("restore", "swap-in", "release-apply", "serve-read-only", "open-writes", "swap-in")
    assert actions == [f"{name} {target}" for name in expected]


def test_failing_release_step_leaves_the_old_instance_in_service_with_all_data(berth: Berth) -> None:
    before, bad = berth.running(), berth.image("apply fails")
    with Clerk(berth) as clerk, pytest.raises(ReleaseError) as caught:
        berth.promote(bad)
    assert caught.value.message == "003_unique.sql, line 2: ERROR:  could not create unique index"
    assert "accepts writes again, with all its data" in str(caught.value.state)
    berth.serves(before)
    clerk.check()
