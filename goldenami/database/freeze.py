"""Writes that are stopped on purpose, outside of a handover: the group looks away meanwhile, and a pause that was left is ended.

What is under way is written down (values/pause.py) before it is begun. So whoever changes the fleet after a crash lets everybody
write again, with what was there or with the backup that had already taken its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from goldenami.aws import auto_scaling, instances, parameters, run_command
from goldenami.context import Context
from goldenami.database import agent, transfer, volume
from goldenami.database.guard_plan import InstanceData
from goldenami.database.switchover_model import WriteFreeze, parse_write_freeze
from goldenami.errors import AwsError, GateError, GoldenError
from goldenami.infra import launch_template_plan
from goldenami.infra import wait as infra_wait
from goldenami.model.names import prefix

# What ends an instance that does not look well.
SELF_HEALING = ("HealthCheck", "ReplaceUnhealthy")


def parameter(ctx: Context) -> str:
    """The parameter that says whose writes are stopped, and why."""
    return f"/goldenami/{ctx.name}/pause"


def load(ctx: Context) -> WriteFreeze | None:
    """The pause that lasts, or did when somebody died."""
    found = parameters.get(ctx.aws, parameter(ctx))
    return parse_write_freeze(found.value) if found else None


def save(ctx: Context, pause: WriteFreeze) -> WriteFreeze:
    """Write down where it stands."""
    parameters.overwrite(ctx.aws, parameter(ctx), pause.text())
    return pause


@dataclass(frozen=True)
class _Released:
    """How a pause ended: whether its backup is in its place, whether that and the rest is `known`, and what went wrong."""

    arrived: bool = False
    known: bool = True
    wrong: tuple[str, ...] = ()


@contextlib.contextmanager
def frozen(ctx: Context, pause: WriteFreeze, *, ending: bool = False) -> Iterator[WriteFreeze]:
    """Stop writes in there; the group does not take an instance without a service for one that is ill, and replace it.

    Should it fail, whoever still stands serves again, with what was there before or with the backup that has arrived.

    Args:
        shop: Where.
        pause: What for, and whose writes.
        ending: The instances are to end in there: only when that fails they are waited for until they serve again.

    Raises:
        GateError: It has failed, and they do not serve again.
    """
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    # Where a server elsewhere has the rows, the others serve on while one ends.
    kept = SELF_HEALING if ctx.recipe.database.on_instance or pause.backup else ()
    own = [p for p in kept if p not in group.suspended] if group else []
    pause = save(ctx, replace(pause, suspended=tuple(own)))
    auto_scaling.suspend(ctx.aws, ctx.names.group, own)
    try:
        yield pause
    except BaseException as error:
        now = load(ctx)
        if now is None or now.run != pause.run:  # somebody took us for dead, and has ended it
            raise
        ended = _release(ctx, now, _running_instances(ctx, now))
        _end(ctx, now, wait=not ended.wrong, known=ended.known)
        if ended.wrong:
            raise GateError(
                "; ".join(ended.wrong), state="Writes may still be stopped.", next="./invoke instances"
            ) from error
        if isinstance(error, GoldenError) and now.backup:
            error.state = "What was there serves on."
            if ended.arrived:
                error.state = f"The rows of {now.backup} are in their place all the same, and serve."
        raise
    _end(ctx, pause, wait=not ending)


def end_stale_freeze(ctx: Context) -> str | None:
    """End a pause that somebody has left. Safe to repeat.

    Returns:
        The backup that is in its place now; empty where what was there serves on; None when no pause was left.
    """
    pause = load(ctx)
    if pause is None:
        return None
    ctx.progress.info(f"{pause.operation} was left half-way, with writes stopped on {', '.join(pause.instances)}")
    standing = _running_instances(ctx, pause)
    for one in standing:
        run_command.wait_for_queued(ctx.aws, ctx.clock, one)
    ended = _release(ctx, pause, standing)
    for told in ended.wrong:  # no reason against a command that may mend it: another backup, another image
        ctx.progress.info(told)
    _end(ctx, pause, wait=not ended.wrong, known=ended.known)
    return pause.backup if ended.arrived else ""


def _running_instances(ctx: Context, pause: WriteFreeze) -> list[str]:
    """Who can be asked, and is to serve again; of a server elsewhere anybody knows what it holds."""
    there = [one for one in pause.instances if not instances.gone(ctx.aws, one)]
    if there or not pause.backup or ctx.recipe.database.on_instance:
        return there
    return [
        one.id for one in instances.tagged(ctx.aws, launch_template_plan.FLEET_TAG, ctx.name) if one.state == "running"
    ]


def _release(ctx: Context, pause: WriteFreeze, standing: Sequence[str]) -> _Released:
    """Let whoever stands serve again, with the rows of before or with those that have arrived."""
    switchover = transfer.load(ctx)
    moving = (switchover.source, switchover.target) if switchover else ()
    seen = [agent.inspect(ctx, one) for one in standing]
    for one in seen:
        if not one.reachable:
            ctx.progress.info(f"nobody could look at {one.instance}: {one.reason}")
    ended = _Released(known=all(one.reachable for one in seen))
    try:
        ended = replace(ended, arrived=_data_arrived(ctx, pause, standing)) if pause.backup else ended
    except GoldenError as error:
        if not ctx.recipe.database.on_instance:  # there, what was restored does not count before it is adopted
            ended = replace(ended, known=False, wrong=(error.message,))
    wrong = [
        told for one in seen if one.reachable and one.instance not in moving and (told := _resume_writes(ctx, one))
    ]
    return replace(ended, wrong=(*ended.wrong, *wrong))


def _data_arrived(ctx: Context, pause: WriteFreeze, standing: Sequence[str]) -> bool:
    """See a restore through whose rows are there, in the place of the others or about to be.

    Raises:
        GoldenError: Nobody can say.
    """
    on_instance = ctx.recipe.database.on_instance
    if not standing:
        if on_instance:
            return False
        raise AwsError(f"no instance runs that could say what the server holds after {pause.operation}")
    # On an instance they lie beside what is there, and count for nothing yet; on a server elsewhere they take its place at once,
    # under a mark that adopting them takes away.
    waits = pause.swapping_in
    if not on_instance:
        waits = agent.run(ctx, standing[0], "survey")["stale"] == prefix(ctx.name, pause.backup)
    if waits:
        agent.run(ctx, standing[0], "swap-in", backup=pause.backup)
    return waits or pause.swapping_in


def _resume_writes(ctx: Context, one: InstanceData) -> str:
    """Let an instance serve again; why it does not, or empty."""
    try:
        if one.storage_mode == "volume" and not one.volume:  # it has let go of it, in order to end
            if not volume.is_attached_to(ctx, one.instance):
                return ""
            agent.run(ctx, one.instance, "mount")
        transfer.resume_service(ctx, one.instance)
    except GoldenError as error:
        return error.message
    return ""


def _end(ctx: Context, pause: WriteFreeze, *, wait: bool, known: bool = True) -> None:
    """Wait until everybody serves, which the balancer is later to notice than anybody; then the group may mend itself again."""
    name = ctx.names.group
    group = auto_scaling.get(ctx.aws, name)
    if group is not None:
        infra_wait.wait_until_healthy(ctx, group.grace if wait else 0)
        if auto_scaling.get(ctx.aws, name) is not None:
            auto_scaling.resume(ctx.aws, name, pause.suspended)
    if known:
        parameters.delete(ctx.aws, parameter(ctx))
