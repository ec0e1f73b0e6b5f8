"""The lock on the fleet: one holder at a time; a stale lock is taken over exactly once."""

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
from goldenami.state import lock, records
from goldenami.state.lock_model import HEARTBEAT_INTERVAL, STALE_AFTER, LockRecord
from goldenami.tools import host
from goldenami.tools.progress import Progress
from tests.support.recipes import recipe

NAME = "/goldenami/guestbook/lock"


@dataclass
class ManualClock:
    """A clock that is set manually."""

    time: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with mock_aws():
        clock = ManualClock()
        aws = AwsSession("ap-northeast-2", keys=("test", "test"))
        yield Context(tmp_path, recipe(), recipe().target("local"), aws, clock, Progress(clock))


def theirs(ctx: Context, **more: str) -> LockRecord:
    now = ctx.clock.now().isoformat()
    return replace(LockRecord("their-run", "promote ami-1", "kim@laptop", "", now, now), **more)


def left_by(ctx: Context, claim: LockRecord) -> None:
    assert parameters.create(ctx.aws, NAME, records.dump(claim))


def test_lock_is_released_at_the_end_and_after_an_error(ctx: Context) -> None:
    with lock.acquire(ctx, "run-1", "promote"):
        found = lock.holder(ctx)
        assert found is not None
        assert (found.run, found.operation) == ("run-1", "promote")
    assert lock.holder(ctx) is None
    with pytest.raises(RuntimeError), lock.acquire(ctx, "run-2", "promote"):
        raise RuntimeError
    assert lock.holder(ctx) is None


def test_acquire_held_lock_raises_busy_error(ctx: Context) -> None:
    left_by(ctx, theirs(ctx))
    with pytest.raises(BusyError, match=r"the fleet is locked by kim@laptop \(promote ami-1, since 2026") as told:
        lock.acquire(ctx, "run-1", "promote").__enter__()
    assert told.value.exit_code == 7
    found = lock.holder(ctx)
    assert found is not None
    assert found.run == "their-run"


def test_lock_without_heartbeat_is_taken_over(ctx: Context) -> None:
    left_by(ctx, theirs(ctx))
    ctx.clock.sleep(STALE_AFTER.total_seconds() + 1)
    with lock.acquire(ctx, "run-1", "promote"):
        found = lock.holder(ctx)
        assert found is not None
        assert found.run == "run-1"
    assert parameters.list_children(ctx.aws, "/goldenami/guestbook") == []


def test_lock_of_crashed_local_process_is_taken_over_at_once(ctx: Context) -> None:
    left_by(ctx, theirs(ctx, holder=f"kim@{host.machine()}", process="999999999:1"))
    with lock.acquire(ctx, "run-1", "promote"):
        pass


def test_lock_of_live_local_process_is_never_stale(ctx: Context) -> None:
    left_by(ctx, theirs(ctx, holder=f"kim@{host.machine()}", process=host.current_process()))
    ctx.clock.sleep(10 * STALE_AFTER.total_seconds())
    with pytest.raises(BusyError):
        lock.acquire(ctx, "run-1", "promote").__enter__()


def test_takeover_by_two_processes_succeeds_once(ctx: Context) -> None:
    left_by(ctx, theirs(ctx))
    ctx.clock.sleep(STALE_AFTER.total_seconds() + 1)
    rival = theirs(ctx, run="rival-run", holder="lee@laptop")
    assert parameters.create(ctx.aws, f"{NAME}-after-their-run", records.dump(rival))
    with pytest.raises(BusyError, match="lee@laptop"):
        lock.acquire(ctx, "run-1", "promote").__enter__()


def test_heartbeat_is_saved_and_detects_a_takeover(ctx: Context) -> None:
    with lock.acquire(ctx, "run-1", "promote") as held:
        first = lock.holder(ctx)
        ctx.clock.sleep(HEARTBEAT_INTERVAL.total_seconds() + 1)
        held.heartbeat()
        second = lock.holder(ctx)
        assert first is not None
        assert second is not None
        assert second.last_heartbeat > first.last_heartbeat
        parameters.overwrite(ctx.aws, NAME, records.dump(theirs(ctx)))
        ctx.clock.sleep(HEARTBEAT_INTERVAL.total_seconds() + 1)
        with pytest.raises(AwsError, match="kim@laptop"):
            held.heartbeat()
        with pytest.raises(AwsError, match="kim@laptop"):
            held.verify_held()
    found = lock.holder(ctx)
    assert found is not None
    assert found.run == "their-run", "the lock of another process is not released"


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"run": 1}', "promote"])
def test_parse_other_text_is_none(text: str) -> None:
    assert records.parse(text, LockRecord) is None
