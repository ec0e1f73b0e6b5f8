"""The claim on the fleet: one holder at a time, and a dead one is replaced by exactly one other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from moto import mock_aws

from goldenami.aws import parameters
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import AwsError, BusyError
from goldenami.state import lock
from goldenami.state.lock_model import HEARTBEAT_INTERVAL, STALE_AFTER, LockRecord, parse
from goldenami.tools import host
from goldenami.tools.progress import Progress
from tests.support.recipes import recipe

NAME = "/goldenami/guestbook/promotion"


@dataclass
class Hands:
    """A clock that is set by hand."""

    time: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Context]:
    with mock_aws():
        clock = Hands()
        aws = AwsSession("ap-northeast-2", keys=("test", "test"))
        yield Context(tmp_path, recipe(), recipe().target("local"), aws, clock, Progress(clock))


def theirs(shop: Context, **more: str) -> LockRecord:
    now = shop.clock.now().isoformat()
    return replace(LockRecord("their-run", "promote ami-1", "kim@laptop", "", now, now), **more)


def left_by(shop: Context, claim: LockRecord) -> None:
    assert parameters.create(shop.aws, NAME, claim.text())


def test_it_is_given_back_at_the_end_and_after_an_error(shop: Context) -> None:
    with lock.acquire(shop, "run-1", "promote"):
        found = lock.holder(shop)
        assert found is not None
        assert (found.run, found.what) == ("run-1", "promote")
    assert lock.holder(shop) is None
    with pytest.raises(RuntimeError), lock.acquire(shop, "run-2", "promote"):
        raise RuntimeError
    assert lock.holder(shop) is None


def test_the_second_is_told_who_holds_it(shop: Context) -> None:
    left_by(shop, theirs(shop))
    with pytest.raises(BusyError, match=r"kim@laptop is changing the fleet: promote ami-1") as told:
        lock.acquire(shop, "run-1", "promote").__enter__()
    assert told.value.exit_code == 7
    found = lock.holder(shop)
    assert found is not None
    assert found.run == "their-run"


def test_a_holder_elsewhere_that_gives_no_sign_of_life_is_replaced(shop: Context) -> None:
    left_by(shop, theirs(shop))
    shop.clock.sleep(STALE_AFTER.total_seconds() + 1)
    with lock.acquire(shop, "run-1", "promote"):
        found = lock.holder(shop)
        assert found is not None
        assert found.run == "run-1"
    assert parameters.children(shop.aws, "/goldenami/guestbook") == []


def test_a_dead_process_of_this_machine_is_replaced_at_once(shop: Context) -> None:
    left_by(shop, theirs(shop, who=f"kim@{host.machine()}", process="999999999:1"))
    with lock.acquire(shop, "run-1", "promote"):
        pass


def test_a_live_process_of_this_machine_is_not_replaced_however_quiet(shop: Context) -> None:
    left_by(shop, theirs(shop, who=f"kim@{host.machine()}", process=host.is_own_process()))
    shop.clock.sleep(10 * STALE_AFTER.total_seconds())
    with pytest.raises(BusyError):
        lock.acquire(shop, "run-1", "promote").__enter__()


def test_of_two_who_take_over_one_wins(shop: Context) -> None:
    left_by(shop, theirs(shop))
    shop.clock.sleep(STALE_AFTER.total_seconds() + 1)
    rival = theirs(shop, run="rival-run", who="lee@laptop")
    assert parameters.create(shop.aws, f"{NAME}-after-their-run", rival.text())
    with pytest.raises(BusyError, match="lee@laptop"):
        lock.acquire(shop, "run-1", "promote").__enter__()


def test_a_beat_shows_life_and_notices_that_it_was_taken(shop: Context) -> None:
    with lock.acquire(shop, "run-1", "promote") as held:
        first = lock.holder(shop)
        shop.clock.sleep(HEARTBEAT_INTERVAL.total_seconds() + 1)
        held.beat()
        second = lock.holder(shop)
        assert first is not None
        assert second is not None
        assert second.beat > first.beat
        parameters.overwrite(shop.aws, NAME, theirs(shop).text())
        shop.clock.sleep(HEARTBEAT_INTERVAL.total_seconds() + 1)
        with pytest.raises(AwsError, match="kim@laptop"):
            held.beat()
        with pytest.raises(AwsError, match="kim@laptop"):
            held.confirm()
    found = lock.holder(shop)
    assert found is not None
    assert found.run == "their-run", "what is not ours is not given back"


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"run": 1}', "promote"])
def test_what_is_no_claim_is_none(text: str) -> None:
    assert parse(text) is None
