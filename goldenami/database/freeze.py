"""Write freezes outside of a switchover: for a restore, or before instances are terminated.

The state is saved before writes are stopped (database/switchover_model.py). After a crash the next operation on the fleet ends
the freeze: writes resume, with the data as it was, or with the backup if it was already being swapped in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from goldenami.aws import auto_scaling, instances, run_command
from goldenami.context import Context
from goldenami.database import agent, transfer, volume
from goldenami.database.guard_plan import InstanceData
from goldenami.database.switchover_model import WriteFreeze
from goldenami.errors import AwsError, GateError, GoldenError
from goldenami.infra import describe, wait
from goldenami.model.names import prefix
from goldenami.state import records
from goldenami.tools.clock import timestamp

# Processes that replace an instance that does not serve.
SELF_HEALING = ("HealthCheck", "ReplaceUnhealthy")


def load(ctx: Context) -> WriteFreeze | None:
    """Return the write freeze that is in effect or was interrupted."""
    return records.load(ctx, ctx.names.write_freeze, WriteFreeze)


def save(ctx: Context, freeze: WriteFreeze) -> WriteFreeze:
    """Save the state of a write freeze, and return it."""
    return records.save(ctx, ctx.names.write_freeze, freeze)


@dataclass(frozen=True)
class _Resumption:
    swapped_in: bool = False
    complete: bool = True  # the state of all instances is known, so that the freeze can be cleared
    errors: tuple[str, ...] = ()


@contextlib.contextmanager
def frozen(ctx: Context, freeze: WriteFreeze, *, ending: bool = False) -> Iterator[WriteFreeze]:
    """Save a write freeze and suspend the group's self-healing, which would replace instances whose service is down.

    If the block fails, the instances that still run resume service, with the data as it was or with the backup.

    Args:
        ending: True if the block terminates the instances: it waits for healthy instances only if the block fails.

    Raises:
        GateError: The block failed, and the instances do not serve again.
    """
    if not freeze.instances:  # no writes are stopped
        yield freeze
        return
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    # With an external database the other instances keep serving while one is terminated.
    processes = SELF_HEALING if ctx.recipe.database.on_instance or freeze.backup else ()
    suspended = [p for p in processes if p not in group.suspended] if group else []
    freeze = save(ctx, replace(freeze, suspended=tuple(suspended), since=timestamp(ctx.clock)))
    auto_scaling.suspend(ctx.aws, ctx.names.group, suspended)
    try:
        yield freeze
    except BaseException as error:
        explained = partial(transfer.explain_stopped_writes, freeze.instances, freeze.since, freeze.resumed_by)
        with explained():
            current = load(ctx)
        if current is None or current.run != freeze.run:  # another process took over the lock, and ended the freeze
            raise
        with explained():
            resumption = _resume(ctx, current, _running_instances(ctx, current))
            _end(ctx, current, wait_healthy=not resumption.errors, clear=resumption.complete)
        if resumption.errors or not resumption.complete:
            raise GateError(
                "; ".join([str(getattr(error, "message", error)), *resumption.errors]),
                state=f"Writes may still be stopped on {', '.join(freeze.instances)}.",
                next=freeze.resumed_by,
            ) from error
        if isinstance(error, GoldenError) and current.backup:
            error.state = "The service is up again, with the data as it was."
            if resumption.swapped_in:
                error.state = f"The service is up again, with the data of {current.backup}."
        raise
    _end(ctx, freeze, wait_healthy=not ending)


def end_stale_freeze(ctx: Context) -> str | None:
    """End an interrupted write freeze. Idempotent.

    Returns:
        Id of the backup that has replaced the data; empty if the data is as it was; None if there was no freeze.
    """
    freeze = load(ctx)
    if freeze is None:
        return None
    ctx.progress.info(f"{freeze.operation} was interrupted, with writes stopped on {', '.join(freeze.instances)}")
    running = _running_instances(ctx, freeze)
    for instance in running:
        run_command.wait_for_queued(ctx.aws, ctx.clock, instance)
    resumption = _resume(ctx, freeze, running)
    for error in resumption.errors:  # not raised: the command that follows may fix it, with another backup or image
        ctx.progress.info(error)
    _end(ctx, freeze, wait_healthy=not resumption.errors, clear=resumption.complete)
    return freeze.backup if resumption.swapped_in else ""


def _running_instances(ctx: Context, freeze: WriteFreeze) -> list[str]:
    """Return the instances of the freeze that still run; for a restore to an external database, any other if none does."""
    running = [instance for instance in freeze.instances if not instances.is_terminated(ctx.aws, instance)]
    if running or not freeze.backup or ctx.recipe.database.on_instance:
        return running
    return [instance.id for instance in describe.fleet_instances(ctx) if instance.state == "running"]


def _resume(ctx: Context, freeze: WriteFreeze, running: Sequence[str]) -> _Resumption:
    switchover = transfer.load(ctx)
    in_switchover = (switchover.source, switchover.target) if switchover else ()
    inspected = [agent.inspect(ctx, instance) for instance in running]
    for data in (d for d in inspected if not d.reachable):
        ctx.progress.info(f"cannot inspect {data.instance}: {data.reason}")
    swapped_in, complete, errors = False, all(data.reachable for data in inspected), []
    try:
        swapped_in = bool(freeze.backup) and _complete_restore(ctx, freeze, running)
    except GoldenError as error:
        if not ctx.recipe.database.on_instance:  # on an instance, a restored database counts only once it is swapped in
            complete = False
            errors.append(error.message)
    for data in inspected:
        if data.reachable and data.instance not in in_switchover and (reason := _resume_instance(ctx, data)):
            errors.append(reason)
    return _Resumption(swapped_in, complete, tuple(errors))


def _complete_restore(ctx: Context, freeze: WriteFreeze, running: Sequence[str]) -> bool:
    """Swap in the backup if it is restored, and return True if it has replaced the data."""
    on_instance = ctx.recipe.database.on_instance
    if not running:
        if on_instance:
            return False
        raise AwsError(f"no instance runs that could inspect the external database after {freeze.operation}")
    # On an instance, the restored database waits next to the current one. An external database is restored in place, and
    # marked as stale until it is swapped in.
    pending = freeze.swapping_in
    if not on_instance:
        pending = agent.run(ctx, running[0], "survey")["stale"] == prefix(ctx.name, freeze.backup)
    if pending:
        agent.run(ctx, running[0], "swap-in", backup=freeze.backup)
    return pending or freeze.swapping_in


def _resume_instance(ctx: Context, data: InstanceData) -> str:
    """Resume service on an instance; return why it failed, or empty."""
    try:
        if data.storage_mode == "volume" and not data.volume:  # unmounted before the termination
            if not volume.is_attached_to(ctx, data.instance):
                return ""
            agent.run(ctx, data.instance, "mount")
        transfer.resume_service(ctx, data.instance)
    except GoldenError as error:
        return error.message
    return ""


def _end(ctx: Context, freeze: WriteFreeze, *, wait_healthy: bool, clear: bool = True) -> None:
    """Wait until the load balancer reports healthy instances, re-enable self-healing, and clear the freeze."""
    name = ctx.names.group
    group = auto_scaling.get(ctx.aws, name)
    if group is not None:
        wait.wait_until_healthy(ctx, group.grace if wait_healthy else 0)
        if auto_scaling.get(ctx.aws, name) is not None:
            auto_scaling.resume(ctx.aws, name, freeze.suspended)
    if clear:
        records.clear(ctx, ctx.names.write_freeze)
