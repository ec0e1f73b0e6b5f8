"""The lock in Parameter Store: one operation at a time changes the fleet, or rebuilds the image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.errors import AwsError, BusyError, UnreachableError
from goldenami.state import records
from goldenami.state.lock_model import HEARTBEAT_INTERVAL, LockRecord, LockSpec
from goldenami.tools import host


class HeldLock:
    """A lock that this process holds."""

    def __init__(self, ctx: Context, spec: LockSpec, record: LockRecord) -> None:
        self._ctx, self._spec, self._record = ctx, spec, record

    def heartbeat(self) -> None:
        """Send a heartbeat, if the last one is older than `HEARTBEAT_INTERVAL`.

        Raises:
            AwsError: Another process took over the lock because this one looked stale (a suspended laptop, for example).
        """
        now = self._ctx.clock.now()
        if now - datetime.fromisoformat(self._record.last_heartbeat) < HEARTBEAT_INTERVAL:
            return
        self.verify_held()
        self._record = records.save(self._ctx, self._spec.parameter, self._record.with_heartbeat(now))

    def verify_held(self) -> None:
        """Raise AwsError if another process holds the lock now. Call it before a step that cannot be undone."""
        current = records.load(self._ctx, self._spec.parameter, LockRecord)
        if current is None or current.run != self._record.run:
            raise AwsError(
                f"the lock on {self._spec.subject} was taken over by {current or 'another process'}, because this process"
                " sent no heartbeat",
                state="This command stops here and makes no further changes.",
                next="./invoke status",
            )


@contextlib.contextmanager
def acquire(ctx: Context, run: str, operation: str, spec: LockSpec | None = None) -> Iterator[HeldLock]:
    """Acquire a lock (the fleet's by default), or take over a stale one; release it at the end; raise BusyError if it is held."""
    spec = spec or LockSpec(ctx.names.lock)
    now = ctx.clock.now().isoformat(timespec="seconds")
    record = LockRecord(run, operation, host.operator(), host.current_process(), now, now)
    if not parameters.create(ctx.aws, spec.parameter, records.dump(record)):
        _take_over(ctx, spec, record)
    try:
        yield HeldLock(ctx, spec, record)
    except UnreachableError:  # the lock cannot be released; it becomes stale
        raise
    except BaseException:
        _release(ctx, spec, run)
        raise
    _release(ctx, spec, run)


def _release(ctx: Context, spec: LockSpec, run: str) -> None:
    current = records.load(ctx, spec.parameter, LockRecord)
    if current is not None and current.run == run:
        records.clear(ctx, spec.parameter)


def holder(ctx: Context) -> LockRecord | None:
    """Return the lock on the fleet; None if it is free."""
    return records.load(ctx, ctx.names.lock, LockRecord)


def is_stale(ctx: Context, record: LockRecord, spec: LockSpec | None = None) -> bool:
    """Return True if the holder of a lock ended without releasing it."""
    return record.is_stale(
        ctx.clock.now(),
        machine=host.machine(),
        alive=host.is_alive(record.process),
        stale_after=(spec or LockSpec("")).stale_after,
    )


def _take_over(ctx: Context, spec: LockSpec, record: LockRecord) -> None:
    """Take over a stale lock.

    Without compare-and-swap in Parameter Store, of two processes the one that creates a second parameter, named after the
    stale run, takes over: a parameter can be created only once.
    """
    former = parameters.get(ctx.aws, spec.parameter)
    if former is None:  # released in the meantime
        if not parameters.create(ctx.aws, spec.parameter, records.dump(record)):
            _take_over(ctx, spec, record)
        return
    stale = records.parse(former.value, LockRecord)
    if stale is not None and not is_stale(ctx, stale, spec):
        raise _busy_error(stale, spec)
    takeover = f"{spec.parameter}-after-{stale.run if stale else former.version}"
    if not parameters.create(ctx.aws, takeover, records.dump(record)):
        rival = records.load(ctx, takeover, LockRecord)
        if rival is None or not is_stale(ctx, rival, spec):
            raise _busy_error(rival or record, spec)
        records.save(ctx, takeover, record)  # the rival crashed while it took over
    try:
        current = parameters.get(ctx.aws, spec.parameter)
        if current is not None and current.value != former.value:
            raise _busy_error(records.parse(current.value, LockRecord) or record, spec)
        ctx.progress.info(f"taking over the stale lock on {spec.subject} from {stale or 'an unknown holder'}")
        records.save(ctx, spec.parameter, record)
    finally:
        records.clear(ctx, takeover)


def _busy_error(other: LockRecord, spec: LockSpec) -> BusyError:
    return BusyError(
        f"{spec.subject} is locked by {other}",
        state="No changes were made.",
        next="./invoke status; retry when it has finished",
    )
