"""Work on one instance of the fleet: console, logs, SSH, terminate."""

from __future__ import annotations

import re
from collections.abc import Callable

from goldenami.aws import auto_scaling, instances
from goldenami.context import Context
from goldenami.database import freeze, guard
from goldenami.database.switchover_model import WriteFreeze
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.infra import describe, remote
from goldenami.infra.describe import list_instances, resolve_instance
from goldenami.model.fleet import AutoScalingGroup, FleetInstance
from goldenami.state import lock, runs
from goldenami.tools import process
from goldenami.tools.clock import poll
from goldenami.tools.quoting import sh

_CURSOR = re.compile(r"(?:\A|\n)-- cursor: ((?:[a-z]=[0-9a-f]+;?)+)\n*\Z")


def console(ctx: Context, instance: str) -> str:
    """Return the console output of an instance, which EC2 keeps for about an hour after termination."""
    instance_id = instance if instance.startswith("i-") else resolve_instance(ctx, instance).id
    return instances.console_output(ctx.aws, instance_id)


def logs(ctx: Context, instance: str, lines: int, *, follow: bool, show: Callable[[str], None], key: str = "") -> None:
    """Show the service's journal, read through Run Command or SSH.

    Args:
        instance: Id of the instance. Default: the only one.
        lines: Number of lines to start with.
        follow: Show new lines until interrupted.
        show: Called with each text.
        key: File of the private key, for SSH.

    Raises:
        AwsError: The instance cannot be reached.
    """
    target = resolve_instance(ctx, instance)
    cursor = ""
    for _ in poll(ctx.clock, timeout=float("inf") if follow else 0, every=2):
        since = f"--after-cursor={sh(cursor)}" if cursor else f"--lines={lines}"
        script = f"journalctl --unit={ctx.name} --no-pager --show-cursor {since}"
        result = remote.run_on_instance(ctx, target, script, key=key)
        if result.code != 0:
            raise AwsError(f"Cannot read the journal of {target.id}: {result.stderr.strip() or result.status}")
        text, new_cursor = split_cursor(result.stdout)
        cursor = new_cursor or cursor
        if text:
            show(text)


def split_cursor(output: str) -> tuple[str, str]:
    """Return the lines of a journal, and the cursor that journalctl prints as the last one; empty if it was cut off.

    The application writes the other lines, so only the last line counts, and only in the form of journald's cursors.
    https://www.freedesktop.org/software/systemd/man/latest/journalctl.html#--show-cursor
    """
    match = _CURSOR.search(output)
    return (output[: match.start()] if match else output).strip("\n"), match[1] if match else ""


def ssh(ctx: Context, instance: str, key: str, command: str) -> int:
    """Open an SSH session on an instance, or run a command; return its exit code.

    Raises:
        UsageError: The recipe has no `key_name`.
    """
    if not ctx.recipe.fleet.key_name:
        raise UsageError(
            "Cannot connect by SSH: the recipe has no key_name",
            next="set key_name under [fleet] in golden.toml, ./invoke fleet.create, then promote; or ./invoke logs",
        )
    target = resolve_instance(ctx, instance)
    return process.foreground([*remote.ssh_command(ctx, target, key), *([command] if command else [])])


def terminate(ctx: Context, instance: str, *, decrement: bool, force: bool, lose_data: bool = False) -> FleetInstance:
    """Terminate an instance. Its database is backed up first, after its writes are stopped.

    Args:
        instance: Id of the instance.
        decrement: Reduce the group's desired capacity; otherwise the group replaces the instance.
        force: Terminate the last instance in service.
        lose_data: Terminate the instance even if its database cannot be backed up.

    Raises:
        GateError: It is the last instance in service, or its database cannot be backed up.
        BusyError: Another process holds the fleet lock.
    """
    target = resolve_instance(ctx, instance)
    operation = f"terminate {target.id}"
    with (
        runs.record_run(ctx, "terminate", instance=target.id) as run,
        lock.acquire(ctx, run.id, operation) as held_lock,
    ):
        freeze.end_stale_freeze(ctx)
        group = describe.describe_fleet(ctx).group
        if not force and _is_last_in_service(target, group, list_instances(ctx)):
            raise GateError(
                f"Cannot terminate {target.id}: it is the last instance in service",
                state="No changes were made.",
                next="the same command with --force",
            )
        inspected = guard.inspect_before_termination(ctx, [target.id], lose_data=lose_data)
        frozen = guard.instances_to_freeze(ctx, inspected, lose_data=lose_data)
        with freeze.frozen(ctx, WriteFreeze(run.id, operation, frozen), ending=True):
            guard.backup_before_termination(
                ctx, held_lock, run.id, inspected, f"before {operation}", lose_data=lose_data
            )
            if target.grouped:
                auto_scaling.terminate(ctx.aws, target.id, decrement=decrement)
            else:
                instances.terminate(ctx.aws, ctx.clock, target.id)
    return target


def _is_last_in_service(
    instance: FleetInstance, group: AutoScalingGroup | None, fleet_instances: list[FleetInstance]
) -> bool:
    if group is not None and instance.grouped:
        in_service = [m.id for m in group.members if m.serving]
    else:
        in_service = [i.id for i in fleet_instances if i.state == "running"]
    return in_service == [instance.id]
