"""An external database, and restores that are killed after any call: all instances resume writes.

Machines and database are in memory; they do what the data script does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from goldenami.database import freeze, restore as database_restore
from goldenami.errors import GateError
from goldenami.recipe.recipe import Recipe
from tests.e2e.cases import few
from tests.integration.database.test_volume import (
    RESTORED,
    Driver,
    Harbour,
    Machine,
    Quay,
    Told,
    Writer,
    ended,
    restore,
    saved,
    shared_fleet,
)
from tests.integration.promote.test_promote import pytestmark as promotions
from tests.support.cloud_server import client, eventually
from tests.support.recipes import RDS, recipe

pytestmark = promotions

SERVER = "server"


class Tenant(Machine):
    """A machine whose data is on an external database that others share."""

    driver: Landlord

    @property
    def rows(self) -> list[int]:
        return self.driver.kept.setdefault(SERVER, [])

    @property
    def trusted(self) -> bool:
        return True

    def boot(self) -> None:
        if self.on and self.id not in self.driver.fenced:
            self.open()

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        said = stdin.decode()
        if "action=inspect\n" in said:
            told: dict[str, Any] = {"storage_mode": "rds", "fenced_by": "yes" if self.id in self.driver.fenced else ""}
        elif "action=survey\n" in said and self.driver.hidden:
            return 1, b"", f"ERROR {self.driver.hidden}\n".encode()
        elif "action=survey\n" in said:
            told = {"rows": len(self.rows), "bytes": 0, "major": 15, "owner": "guestbook", "stale": self.driver.void}
            told |= self.driver.limits
        else:
            return super().run(argv, stdin, timeout)
        return 0, f"RESULT {json.dumps(told)}\n".encode(), b""

    def vault(self, action: str, script: str) -> str:
        found = self.place(script)
        if action == "restore":  # at once in the place of what was there, with a mark that it does not count yet
            body = client(self.driver.endpoint, "s3").get_object(Bucket=found["bucket"], Key=f"{found['prefix']}/dump")
            super().vault(action, script)
            self.driver.incoming.clear()
            self.driver.kept[SERVER], self.driver.void = json.loads(body["Body"].read()), found["prefix"]
        elif action == "swap-in" and not self.driver.void:
            return "" if self.arrived == found["prefix"] else "there is no restored database to swap in"
        elif action == "swap-in":
            self.driver.void, self.arrived = "", found["prefix"]
        else:
            return super().vault(action, script)
        return ""


class Landlord(Driver):
    """The external database."""

    void = ""
    hidden = ""  # why the role cannot read every row
    limits: Mapping[str, int] = {}  # of its lock table

    def machine(self, spec: Any) -> Tenant:
        self.machines.append(Tenant(spec, self))
        return self.machines[-1]  # type: ignore[return-value]


class Street(Harbour):
    driver_type = Landlord


class House(Quay):
    """A fleet of two with an external database."""

    def wanted(self) -> Recipe:
        return recipe({**RDS, "fleet.desired": 2})

    def serves(self, ami: str) -> None:
        """Both serve, with rows that count; nothing is left of a write freeze."""
        eventually(lambda: [m.serving for m in self.fleet_state().group.members] == [True, True], 20)
        self.at_rest(ami, 2)
        driver: Any = self.driver
        assert (driver.void, driver.fenced, freeze.load(self.ctx())) == ("", set(), None)
        group = self.fleet_state().group
        assert (group.desired, group.suspended) == (2, ())
        assert len(self.standing()) == 2


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with shared_fleet(tmp_path_factory.mktemp("house"), Street, House) as fleet:
        yield fleet


def kept(house: House) -> tuple[str, set[int]]:
    """A backup of what is there, its rows, and some more since."""
    with Writer(house) as before:
        eventually(lambda: len(before.acknowledged) > 3)
    rows = set(house.driver.kept[SERVER])
    made = database_restore.back_up(house.ctx(), "", "", own=False, why="")
    with Writer(house) as later:
        eventually(lambda: len(later.acknowledged) > 3)
    return made.id, rows


def test_restore_stops_all_writes_and_the_group_replaces_no_instance(house: House) -> None:
    (identity, rows), image, before = kept(house), house.running(), house.standing()
    ctx = house.ctx()
    wire = Told(ctx.aws)
    restore(ctx, identity)
    assert wire.calls.count("SendCommand stop-writes") == wire.calls.count("SendCommand resume") == 2
    assert [name for name in RESTORED if name not in wire.calls] == [], "each call that a test kills after is one"
    house.serves(image)
    assert set(house.driver.kept[SERVER]) == rows
    assert house.standing() == before


HIDDEN = "row-level security hides rows of public.notes from the role guestbook"


@pytest.mark.parametrize(
    ("hidden", "limits", "expected"),
    [
        ("", {}, r"has \d+ row\(s\); --replace backs them up"),
        (HIDDEN, {}, HIDDEN),
        ("", {"objects": 6500}, "6500 locks, and the lock table of the server has 6400 entries"),
    ],
)
def test_restore_is_refused_before_writes_are_stopped(
    house: House, hidden: str, limits: Mapping[str, int], expected: str
) -> None:
    (identity, rows), image, ctx, driver = kept(house), house.running(), house.ctx(), house.driver
    assert isinstance(driver, Landlord)
    wire, driver.hidden, driver.limits = Told(ctx.aws), hidden, limits
    try:
        with pytest.raises(GateError, match=expected):
            database_restore.restore(ctx, identity, "", "", replace=bool(hidden or limits))
    finally:
        driver.hidden, driver.limits = "", {}
    assert "SendCommand stop-writes" not in wire.calls
    house.serves(image)
    assert rows < set(driver.kept[SERVER]), "no row is replaced"


@pytest.mark.parametrize("name", few(RESTORED, "SendCommand restore"))
def test_killed_restore_is_completed_by_the_same_command(house: House, name: str) -> None:
    (identity, rows), image = kept(house), house.running()
    with Writer(house) as writer:
        ended(house, name, lambda ctx: restore(ctx, identity))
        restore(house.ctx(), identity)
        after = len(writer.acknowledged)
        eventually(lambda: len(writer.acknowledged) > after)
    house.serves(image)
    there = set(house.driver.kept[SERVER])
    assert rows <= there
    assert set(writer.acknowledged) <= there | saved(house), "what it replaces is in a backup"


@pytest.mark.parametrize("name", few(RESTORED[1:-1], "SendCommand restore"))
def test_promotion_after_killed_restore_resumes_writes(house: House, name: str) -> None:
    (identity, rows), image = kept(house), house.image("good")
    with Writer(house) as writer:
        ended(house, name, lambda ctx: restore(ctx, identity))
        house.promote(image)
        after = len(writer.acknowledged)
        eventually(lambda: len(writer.acknowledged) > after)
    house.serves(image)
    there = set(house.driver.kept[SERVER])
    assert rows <= there
    assert set(writer.acknowledged) <= there | saved(house)


@pytest.mark.parametrize("name", few(["SendCommand restore", "SendCommand swap-in"], "SendCommand restore"))
def test_killed_restore_is_completed_after_all_instances_were_terminated(house: House, name: str) -> None:
    (identity, rows), image = kept(house), house.running()
    ended(house, name, lambda ctx: restore(ctx, identity))
    gone = house.standing()
    house.town.ec2.terminate_instances(InstanceIds=gone)
    eventually(lambda: not set(gone) & set(house.standing()))
    house.driver.fenced.clear()
    freeze.end_stale_freeze(house.ctx())
    eventually(lambda: [m.serving for m in house.fleet_state().group.members] == [True, True], 20)
    restore(house.ctx(), identity)
    house.serves(image)
    assert rows <= set(house.driver.kept[SERVER])


def test_restore_that_differs_keeps_the_current_data(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (identity, rows), image = kept(house), house.running()
    monkeypatch.setattr("goldenami.database.restoration.differences", lambda *_: ["extension postgis is missing"])
    with pytest.raises(GateError, match="extension postgis is missing") as caught:
        restore(house.ctx(), identity)
    assert caught.value.state == f"The service is up again, with the data of {identity}."
    house.serves(image)
    assert set(house.driver.kept[SERVER]) == rows
