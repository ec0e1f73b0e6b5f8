"""Transfer the database from one instance to another: stop writes, back up, restore, compare, and only then resume writes.

Where it can, the source answers reads until the target answers them with the same rows, so requests never alternate between
stale and new rows.
The state is saved before each step (database/switchover_model.py), so that recovery can complete or roll back an interrupted one.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldenami.aws.errors import is_unreachable
from goldenami.context import Context
from goldenami.database import agent, backup, release, restoration, volume
from goldenami.database.downtime_model import Downtime
from goldenami.database.release import ReleaseError
from goldenami.database.switchover_model import Switchover, TransferMethod
from goldenami.errors import DataError, GateError, GoldenError, UnreachableError
from goldenami.infra import load_balancer
from goldenami.state import records
from goldenami.state.lock import HeldLock
from goldenami.tools.clock import timestamp


@dataclass(frozen=True)
class TransferResult:
    """A completed transfer.

    Attributes:
        read_only: True if the target answers reads only, until `open_writes`.
        downtime: Downtime so far.
    """

    switchover: Switchover
    read_only: bool
    downtime: Downtime


def load(ctx: Context) -> Switchover | None:
    """Return the switchover that is in progress or was interrupted."""
    return records.load(ctx, ctx.names.switchover, Switchover)


def save(ctx: Context, switchover: Switchover) -> Switchover:
    """Save the state of a switchover, and return it."""
    return records.save(ctx, ctx.names.switchover, switchover)


def clear(ctx: Context) -> None:
    """Delete the state of a switchover that has ended."""
    records.clear(ctx, ctx.names.switchover)


def transfer_method(ctx: Context) -> TransferMethod:
    """Return how data is transferred between instances."""
    return "volume" if ctx.recipe.database.on_volume else "backup"


def source_has_data(ctx: Context, instance: str) -> bool:
    """Return True if an instance has data to transfer. Without a volume it always has."""
    return transfer_method(ctx) != "volume" or volume.is_attached_to(ctx, instance)


def transfer(ctx: Context, held_lock: HeldLock, switchover: Switchover, grace: float) -> TransferResult:
    """Transfer the data and the traffic from the source to the target, which runs and has never served.

    If the transfer fails (GateError), the source accepts writes again, with all its data.

    Args:
        grace: Seconds that the target has to receive traffic.
    """
    if switchover.method == "backup":
        agent.ensure_backup_bucket(ctx)
    switchover = save(ctx, dataclasses.replace(switchover.advance("moving"), frozen_since=timestamp(ctx.clock)))
    source, target = switchover.source, switchover.target
    downtime = Downtime(ctx.clock.monotonic())
    ctx.progress.info(f"restoring {switchover.backup}" if switchover.backup else f"stopping writes on {source}")
    read_only = False
    try:
        if switchover.backup:
            downtime = downtime.stop_reads(ctx.clock.monotonic())
            manifest = backup.get_backup(ctx, switchover.backup)
            restoration.restore_and_swap_in(ctx, target, manifest, replace=True, heartbeat=held_lock.heartbeat)
            summary = (
                f"{manifest.fingerprint.rows} row(s) of the backup {manifest.id} restored on {target} and compared"
            )
        elif switchover.method == "volume":
            downtime = downtime.stop_reads(ctx.clock.monotonic())
            volume.attach_and_mount(ctx, target, snapshot=f"before {switchover.run} attached it to {target}")
            summary = f"the volume with the data is mounted on {target}"
        else:
            identity = backup_id(switchover)
            frozen = agent.run(ctx, source, "read-only", backup=identity)
            read_only, downtime = frozen["serving"], dataclasses.replace(downtime, unavailable=frozen["unavailable"])
            if not read_only:
                downtime = downtime.stop_reads(downtime.frozen_at)
            why = f"switchover to {target}"
            try:
                manifest = backup.take_backup(ctx, source, identity, why, heartbeat=held_lock.heartbeat)
                restoration.restore_and_swap_in(
                    ctx, target, manifest, replace=switchover.replaces, heartbeat=held_lock.heartbeat
                )
            except GateError as error:
                raise DataError(error.message, state=error.state, next=error.next) from None
            summary = f"{manifest.fingerprint.rows} row(s) transferred to {target} and compared table by table"
        held_lock.verify_held()
        if switchover.release_step and not switchover.is_reversal:
            steps = release.apply(ctx, switchover.run, target, held_lock.heartbeat)
            ctx.progress.info(f"applied to the transferred data: {', '.join(map(str, steps)) or 'nothing was pending'}")
        if read_only := read_only and agent.run(ctx, target, "serve-read-only")["serving"]:
            load_balancer.register(ctx, target)
            load_balancer.wait_in_service(ctx, target, grace, held_lock.heartbeat)
        else:
            agent.run(ctx, target, "resume")
            downtime = downtime.stop_reads(ctx.clock.monotonic())
        load_balancer.deregister(ctx, source)
        if switchover.method == "backup" and not switchover.backup:
            agent.run(ctx, source, "stop-service", backup=identity)
        held_lock.verify_held()
    except BaseException as error:
        if switchover.backup:  # the source does not serve, and its data was not touched
            raise
        with explain_stopped_writes([source], switchover.frozen_since, switchover.resumed_by):
            abort(ctx, switchover)
        if not isinstance(error, GoldenError):
            raise
        duration = downtime.text(ctx.clock.monotonic())
        if isinstance(error, ReleaseError):
            on_volume = f"{error.state} " if switchover.method == "volume" else ""
            state = f"{on_volume}{source} accepts writes again, with all its data; {duration}."
            raise ReleaseError(error.message, state=state, next=error.next) from None
        kind = DataError if isinstance(error, DataError) else GateError
        raise kind(
            f"the data of {source} could not be transferred to {target}: {error.message}",
            state=f"{source} accepts writes again, with all its data; {duration}.",
            next=error.next,
        ) from None
    switchover = save(ctx, switchover.advance("opened"))
    ctx.progress.info(summary)
    return TransferResult(switchover, read_only, downtime)


def open_writes(ctx: Context, instance: str) -> None:
    """Open writes on an instance that has the authoritative copy and answers reads. Idempotent."""
    agent.run(ctx, instance, "open-writes")


@contextlib.contextmanager
def explain_stopped_writes(instances: Sequence[str], since: str, resumed_by: str) -> Iterator[None]:
    """Say that writes are stopped, since when, and what resumes them, if AWS cannot be reached to resume them now."""
    try:
        yield
    except Exception as error:
        if not is_unreachable(error):
            raise
        raise UnreachableError(
            f"AWS cannot be reached: {error}",
            state=f"Writes are stopped on {', '.join(instances)} since {since}, and stay stopped until a command resumes them.",
            next=f"{resumed_by}, once AWS responds",
        ) from None


def abort(ctx: Context, switchover: Switchover) -> None:
    """Resume service on the source, before the data was transferred, or raise GateError; its data is intact. Idempotent."""
    load_balancer.deregister(ctx, switchover.target)  # it may answer reads, and its rows are stale from now on
    if switchover.method == "volume":
        if not switchover.source_had_volume:
            return
        try:
            volume.attach_and_mount(ctx, switchover.source, stop_holder=True)
        except GoldenError as error:
            raise GateError(
                f"the volume could not be returned to {switchover.source}: {error.message}",
                state=error.state or "The service is down; the data is on the volume.",
                next=error.next or "./invoke rollback tries again",
            ) from None
    resume_service(ctx, switchover.source)
    load_balancer.register(ctx, switchover.source)


def resume_service(ctx: Context, instance: str) -> None:
    """Resume writes and the service on an instance; raise GateError if it does not serve. Its data is intact."""
    try:
        agent.run(ctx, instance, "resume")
    except GoldenError as error:
        raise GateError(
            f"the service on {instance} could not be resumed: {error.message}",
            state="Its data is intact; its writes may still be stopped.",
            next=f"./invoke logs --instance {instance}; the same command tries again",
        ) from None


def backup_id(switchover: Switchover) -> str:
    """Return the id of the backup that a switchover restores; each direction has its own."""
    return switchover.backup or f"{switchover.run}-{'reversal' if switchover.is_reversal else 'switchover'}"
