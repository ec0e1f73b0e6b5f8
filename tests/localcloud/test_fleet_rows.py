"""Rows on the root disk of the one instance, under a promotion that is killed after any call, and instances that end on the way.

The machines are in memory: each keeps its rows with itself, and does what the script for rows would do there, through the
bucket. The same on real machines is in tests/e2e.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from api_harness import client, eventually
from test_fleet_promotions import pytestmark as promotions
from test_fleet_volumes import Driver, Harbour, Machine, Quay, Writer, back, end, hurried, killed

from goldenami.flows import carrying, settling
from goldenami.values.errors import GateError
from goldenami.values.handover import ALONE, Move
from goldenami.values.recipe import Recipe
from goldenami.walls.aws import groups
from tests.e2e.cases import few
from tests.goldenami.recipes import recipe

pytestmark = promotions


class Keeper(Machine):
    """A machine that keeps its rows itself."""

    driver: Shelf
    incoming: list[int] | None = None

    @property
    def trusted(self) -> bool:
        return bool(self.rows)

    def boot(self) -> None:
        if self.on and self.id not in self.driver.fenced:
            self.open()

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        said = dict(re.findall(r"^(action|bucket|prefix|result)='?([^'\n]*)'?$", stdin.decode(), re.MULTILINE))
        action = said.get("action", "")
        if action not in ("look", "fence", "backup", "restore", "adopt"):
            return super().run(argv, stdin, timeout)
        self.driver.asked.append(f"{action} {self.id}")
        told: dict[str, object] = {action: True}
        if action == "look":
            told = {"answers": True, "rows": len(self.rows), "bytes": 1, "major": self.major, "databases": 1}
            told |= {"fenced": "", "home": "instance"}
        elif action == "fence":
            self.driver.fenced.add(self.id)
            self.close()
        elif action == "backup":
            dump = json.dumps(self.rows).encode()
            seen = {
                "fingerprint": self.found(self.rows), "service": "guestbook", "database": "guestbook", "owner": "guestbook",
                "major": 15, "commit": "", "mode": "instance", "size": len(dump), "sha256": {}, "quiet": True,
            }  # fmt: skip
            self.put(said, "dump", dump)
            self.put(said, "seen.json", json.dumps(seen).encode())
        elif action == "restore":
            if "refuses" in self.serves:
                return 1, b"", b"RED no space left on device"
            self.incoming = json.loads(self.get(said, "dump"))
            self.put(said, said["result"], json.dumps(self.found(self.incoming or [])).encode())
        else:
            assert self.incoming is not None
            self.rows[:], self.incoming = self.incoming, None
        return 0, f"DATA {json.dumps(told)}\n".encode(), b""

    @staticmethod
    def found(rows: list[int]) -> dict[str, Any]:
        """Their fingerprint, as the script tells it."""
        tables = {"public.entries": [len(rows), str(sum(rows))]}
        return {"tables": tables, "sequences": {}, "extensions": {}, "roles": ["guestbook"], "large_objects": 0}

    def put(self, said: dict[str, str], name: str, body: bytes) -> None:
        client(self.driver.endpoint, "s3").put_object(Bucket=said["bucket"], Key=f"{said['prefix']}/{name}", Body=body)

    def get(self, said: dict[str, str], name: str) -> bytes:
        found = client(self.driver.endpoint, "s3").get_object(Bucket=said["bucket"], Key=f"{said['prefix']}/{name}")
        body: bytes = found["Body"].read()
        return body


class Shelf(Driver):
    """The rows of each machine are its own."""

    def machine(self, spec: Any) -> Keeper:
        self.machines.append(Keeper(spec, self))
        return self.machines[-1]  # type: ignore[return-value]


class Wharf(Harbour):
    driver_type = Shelf


class Pier(Quay):
    """A fleet of one that keeps its rows itself."""

    def wanted(self) -> Recipe:
        return recipe()

    def serves(self, ami: str) -> None:
        """One instance of this image serves; nothing is left of a handover, and nobody else runs."""
        eventually(lambda: [m.serving for m in self.scene().group.members] == [True], 20)
        self.at_rest(ami)
        assert carrying.find(self.shop()) is None
        group = self.scene().group
        assert (group.min, group.max, group.desired, set(group.suspended)) == (1, 1, 1, set(ALONE))
        assert self.standing() == [self.machine().id]


class Clerk(Writer):
    """At the end each row that was acknowledged is on the one instance, once; but those that a disk has taken with it."""

    def check(self, lost: Sequence[int] = ()) -> None:
        kept = Counter(self.quay.machine().rows)
        assert self.acknowledged
        assert [number for number in self.acknowledged if kept[number] != 1 and number not in lost] == []


@pytest.fixture(scope="module")
def pier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pier]:
    """One for all tests: each leaves the fleet at rest."""
    root = tmp_path_factory.mktemp("pier")
    (root / "checkout").mkdir()
    with hurried():
        town = Wharf(root)
        yield Pier(town, root / "checkout")
        town.server.stop()


CALLS = (
    *("PutParameter launching", "RunInstances", "SuspendProcesses", "PutParameter moving", "SendCommand fence"),
    *("SendCommand backup", "SendCommand restore", "SendCommand adopt", "SendCommand open", "PutParameter opened"),
    *("AttachInstances", "DetachInstances", "ResumeProcesses", "TerminateInstances", "DeleteParameter handover"),
)


@pytest.mark.parametrize("name", few(CALLS, "SendCommand adopt"))
def test_killed_after_any_call_the_next_promotion_finishes_it(pier: Pier, name: str) -> None:
    image = pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        pier.promote(image)
    pier.serves(image)
    clerk.check()


@pytest.mark.parametrize("name", few(CALLS[3:14], "PutParameter opened"))
def test_killed_after_any_call_a_rollback_takes_it_back(pier: Pier, name: str) -> None:
    before, image = pier.running(), pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        assert back(pier) == before
    pier.serves(before)
    clerk.check()


@pytest.mark.parametrize("ill", few(["sick", "mute", "late", "refuses"]))
def test_a_bad_image_costs_no_row(pier: Pier, ill: str) -> None:
    before, bad = pier.running(), pier.image(f"bad {ill}")
    with Clerk(pier) as clerk, pytest.raises(GateError) as caught:
        pier.promote(bad, watch=4)
    assert "The instance before it serves, with every row" in str(caught.value.state)
    pier.serves(before)
    clerk.check()


def test_an_instance_that_was_ill_for_a_while_is_as_good_as_before(pier: Pier) -> None:
    before, machine = pier.running(), pier.machine()
    machine.sick = True
    eventually(lambda: [m.target for m in pier.scene().group.members] == ["unhealthy"], 20)
    time.sleep(1)  # the group looks at all its members meanwhile
    machine.sick = False
    pier.serves(before)
    assert pier.machine() is machine


@pytest.mark.parametrize("name", few(CALLS[3:13], "AttachInstances"))
def test_the_new_instance_may_end_and_the_old_one_serves_again(pier: Pier, name: str) -> None:
    image = pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        handover = carrying.find(pier.shop())
        assert handover is not None
        end(pier, handover.target)
        # Its disk has taken with it what was written after the handover, which is what such a disk does; nothing else.
        lost = list(pier.driver.kept.get(handover.target, ()) if handover.done else ())
        lost = [number for number in lost if number not in pier.driver.kept[handover.source]]
        pier.promote(image)
    pier.serves(image)
    clerk.check(lost)


@pytest.mark.parametrize("name", few(CALLS[6:10], "SendCommand restore"))
def test_the_old_instance_may_end_once_its_rows_are_saved(pier: Pier, name: str) -> None:
    image, old = pier.image("good"), pier.machine().id
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        end(pier, old)
        pier.promote(image)
    pier.serves(image)
    clerk.check()


def test_the_group_replaces_an_old_instance_that_ended_before_its_rows_left_a_server(pier: Pier) -> None:
    image, old, shop = pier.image("good"), pier.machine().id, pier.shop()
    killed(pier, image, "SendCommand fence")
    handover = carrying.find(shop)
    assert handover is not None
    # As a migration from a server writes it down: its group replaces instances by itself.
    carrying.note(shop, replace(handover, move=Move("instance", "rds"), suspended=()))
    end(pier, old)
    settling.settle(shop)
    eventually(lambda: [m.id != old and m.serving for m in pier.scene().group.members] == [True], 20)
    assert carrying.find(shop) is None
    assert pier.standing() == [pier.machine().id]
    groups.suspend(shop.aws, shop.names.group, ALONE)


def test_rows_that_were_not_saved_when_their_disk_ended_are_not_passed_over(pier: Pier) -> None:
    image, old = pier.image("good"), pier.machine().id
    with Clerk(pier):
        killed(pier, image, "SendCommand fence")
    end(pier, old)
    with pytest.raises(GateError, match="has ended, and its disk with every row: their backup was not finished"):
        pier.promote(image)
    assert carrying.find(pier.shop()) is None
    assert pier.standing() == []
