"""Hold the claim on the fleet while changing it: two promotions at once must not meet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.errors import AwsError, BusyError
from goldenami.model.names import ResourceNames
from goldenami.state.lock_model import HEARTBEAT_INTERVAL, LockRecord, LockSpec, parse
from goldenami.tools import host
from goldenami.tools.clock import timestamp


class HeldLock:
    """A claim that we hold; `beat` shows others that we live, and notices when somebody has taken it from us."""

    def __init__(self, ctx: Context, on: LockSpec, held_lock: LockRecord) -> None:
        self._shop, self._on, self._claim = ctx, on, held_lock

    def heartbeat(self) -> None:
        """Give a sign of life, now and then.

        Raises:
            AwsError: Somebody else holds the claim now: we looked dead to them (a laptop that slept, say).
        """
        now = self._shop.clock.now()
        if now - datetime.fromisoformat(self._claim.last_heartbeat) < HEARTBEAT_INTERVAL:
            return
        _still_held(self._shop, self._on, self._claim.run)
        self._claim = self._claim.with_heartbeat(now)
        parameters.overwrite(self._shop.aws, self._on.name, self._claim.text())

    def verify_held(self) -> None:
        """Make sure that the claim is ours before something that cannot be taken back.

        Raises:
            AwsError: Somebody else holds it now.
        """
        _still_held(self._shop, self._on, self._claim.run)


@contextlib.contextmanager
def acquire(ctx: Context, run: str, what: str, on: LockSpec | None = None) -> Iterator[HeldLock]:
    """Take the claim, or take it over from a holder that is dead; give it back at the end.

    Args:
        shop: Where.
        run: Whose.
        what: What it does.
        on: What is claimed; the fleet unless said otherwise.

    Raises:
        BusyError: Somebody else holds it; the message says who, and what they do.
    """
    on = on or LockSpec(ResourceNames(ctx.name).lock)
    held_lock = _read_back(ctx, run, what)
    if not parameters.create(ctx.aws, on.name, held_lock.text()):
        _take_over(ctx, on, held_lock)
    try:
        yield HeldLock(ctx, on, held_lock)
    finally:
        found = parameters.get(ctx.aws, on.name)
        holder = parse(found.value) if found else None
        if holder is not None and holder.run == run:
            parameters.delete(ctx.aws, on.name)


def holder(ctx: Context, on: LockSpec | None = None) -> LockRecord | None:
    """Who holds the claim now."""
    found = parameters.get(ctx.aws, on.name if on else ResourceNames(ctx.name).lock)
    return parse(found.value) if found else None


def is_stale(ctx: Context, held_lock: LockRecord, on: LockSpec | None = None) -> bool:
    """Whether a claim's holder has ended without giving it back."""
    alive = host.is_alive(held_lock.process)
    patience = (on or LockSpec("")).stale_after
    return held_lock.is_stale(ctx.clock.now(), here=host.machine(), alive=alive, patience=patience)


def _read_back(ctx: Context, run: str, what: str) -> LockRecord:
    now = timestamp(ctx.clock)
    return LockRecord(run, what, host.operator(), host.is_own_process(), now, now)


def _take_over(ctx: Context, on: LockSpec, held_lock: LockRecord) -> None:
    """Take a dead holder's claim over.

    Parameter Store has no compare-and-swap. So that of two who find the same dead holder only one succeeds, the right to
    take over is itself a parameter, named after the dead run, which can be made only once.
    """
    name = on.name
    former = parameters.get(ctx.aws, name)
    if former is None:  # given back in the meantime
        if not parameters.create(ctx.aws, name, held_lock.text()):
            _take_over(ctx, on, held_lock)
        return
    other = parse(former.value)
    if other is not None and not is_stale(ctx, other, on):
        raise _busy_error(other, on)
    right = f"{name}-after-{other.run if other else former.version}"
    if not parameters.create(ctx.aws, right, held_lock.text()):
        rival = parameters.get(ctx.aws, right)
        winner = parse(rival.value) if rival else None
        if winner is None or not is_stale(ctx, winner, on):
            raise _busy_error(winner or held_lock, on)
        parameters.overwrite(ctx.aws, right, held_lock.text())  # it died in these very moments
    try:
        again = parameters.get(ctx.aws, name)
        if again is not None and again.value != former.value:
            raise _busy_error(parse(again.value) or held_lock, on)
        told = f"{other.who} ({other.what}, since {other.since})" if other else "an unknown holder"
        ctx.progress.info(f"taking over {on.called} from {told}, which has ended without giving it back")
        parameters.overwrite(ctx.aws, name, held_lock.text())
    finally:
        parameters.delete(ctx.aws, right)


def _still_held(ctx: Context, on: LockSpec, run: str) -> None:
    found = parameters.get(ctx.aws, on.name)
    now = parse(found.value) if found else None
    if now is None or now.run != run:
        who = f"{now.who} ({now.what})" if now else "somebody else"
        raise AwsError(
            f"{who} has taken over {on.called} while this one gave no sign of life",
            state="This one stops here and changes nothing more.",
            next="./invoke status",
        )


def _busy_error(other: LockRecord, on: LockSpec) -> BusyError:
    return BusyError(
        f"{other.who} {on.doing}: {other.what}, since {other.since}",
        state="Nothing was changed.",
        next="./invoke status, and the same command once it is done",
    )
