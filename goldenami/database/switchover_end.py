"""End a switchover: complete it, or roll it back."""

from __future__ import annotations

from goldenami.aws import auto_scaling, instances, load_balancers
from goldenami.context import Context
from goldenami.database import membership, relocate, transfer
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError
from goldenami.infra import load_balancer


def client_token(switchover: Switchover) -> str:
    """Return the client token of the instance that a switchover launches; it identifies the instance after a crash."""
    return f"{switchover.run}-switchover"


def roll_back(ctx: Context, switchover: Switchover) -> None:
    """Roll back a switchover whose data was not transferred: the source keeps serving, the launched instance is terminated.

    If the source was terminated, and its data is on a volume or a DB instance, the group replaces it.
    """
    if (
        switchover.step == "moving"
        and not switchover.backup
        and (switchover.storage_mode == "instance" or not instances.is_terminated(ctx.aws, switchover.source))
    ):
        transfer.abort(ctx, switchover)
    launched = instances.find_by_client_token(ctx.aws, client_token(switchover))
    relocate.undo(ctx, switchover, [instance.id for instance in launched])
    for instance in launched:
        instances.terminate(ctx.aws, ctx.clock, instance.id)
    membership.release(ctx, switchover, switchover.max_size, switchover.suspended)
    transfer.clear(ctx)


def complete(ctx: Context, switchover: Switchover, *, checked: bool = False) -> None:
    """Complete a switchover whose data was transferred.

    The target becomes the group's only instance, with its launch template version; without a group, the target group's only
    target. The source is terminated, once the target serves with the data.

    Args:
        checked: True if this was just seen (`reason_to_keep_source`).

    Raises:
        GateError: The target does not serve, or not with the data; both instances keep running.
    """
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is not None:
        membership.attach_target(ctx, switchover)
        load_balancer.register(ctx, switchover.target)  # a member that was deregistered as the source before
        if not checked:
            _raise_unless_ready(ctx, switchover)
        group = auto_scaling.get(ctx.aws, ctx.names.group) or group
        membership.detach(ctx, group, switchover.source)
        max_size = relocate.max_size(ctx, switchover)
        membership.pin_launch_version(ctx, group, switchover.version, max(max_size, group.desired))
        membership.release(ctx, switchover, max_size, switchover.suspended_after)
    elif target_group := load_balancers.get_target_group(ctx.aws, ctx.names.target_group):
        load_balancers.register(ctx.aws, target_group, switchover.target)
        if not checked:
            _raise_unless_ready(ctx, switchover)
        load_balancers.deregister(ctx.aws, ctx.clock, target_group, switchover.source)
    if switchover.is_reversal:
        relocate.undo(ctx, switchover, [switchover.source])
    instances.terminate(ctx.aws, ctx.clock, switchover.source)
    if not switchover.is_reversal:
        relocate.release_source(ctx, switchover)
    transfer.clear(ctx)


def reason_to_keep_source(ctx: Context, switchover: Switchover) -> str:
    """Return why the source must not be terminated: the target does not serve, or not with the data, as seen now."""
    if not switchover.source or instances.is_terminated(ctx.aws, switchover.source):
        return ""
    return membership.unready_reason(ctx, switchover)


def _raise_unless_ready(ctx: Context, switchover: Switchover) -> None:
    if reason := reason_to_keep_source(ctx, switchover):
        raise GateError(
            f"{switchover.source} is not terminated: {reason}",
            state=f"{switchover.target} has the current data; {switchover.source} is running with its writes stopped."
            " No data is lost.",
            next="./invoke rollback, which tries again, and transfers the current data back otherwise",
        )
