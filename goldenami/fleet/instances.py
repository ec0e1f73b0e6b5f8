"""The fleet's machines, one by one: list, console, logs, log in, terminate."""

from __future__ import annotations

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


def console(ctx: Context, instance: str) -> str:
    """What an instance printed on its console, also for a while after it has gone."""
    machine = instance if instance.startswith("i-") else resolve_instance(ctx, instance).id
    return instances.console_output(ctx.aws, machine)


def logs(ctx: Context, instance: str, lines: int, *, follow: bool, show: Callable[[str], None], key: str = "") -> None:
    """The service's journal, through Run Command or SSH; with `follow`, what comes, until interrupted.

    Raises:
        AwsError: The instance cannot be reached.
    """
    machine = resolve_instance(ctx, instance)
    cursor = ""
    for _ in poll(ctx.clock, timeout=float("inf") if follow else 0, every=2):
        since = f"--after-cursor='{cursor}'" if cursor else f"--lines={lines}"
        script = f"journalctl --unit={ctx.name} --no-pager --show-cursor {since}"
        said = remote.run_on_instance(ctx, machine, script, key=key)
        if said.code != 0:
            raise AwsError(f"the journal of {machine.id} cannot be read: {said.stderr.strip() or said.status}")
        text, mark, found = said.stdout.rpartition("-- cursor: ")
        cursor = found.strip() if mark else cursor
        if text := (text if mark else said.stdout).strip("\n"):
            show(text)


def ssh(ctx: Context, instance: str, key: str, command: str) -> int:
    """Log in to an instance; its exit code comes back.

    Raises:
        UsageError: The recipe opens no SSH.
    """
    if not ctx.recipe.fleet.key_name:
        raise UsageError(
            "the fleet lets nobody in by SSH",
            next="set key_name under [fleet] in golden.toml, ./invoke fleet.create, then promote; or ./invoke logs",
        )
    machine = resolve_instance(ctx, instance)
    return process.foreground([*remote.ssh_command(ctx, machine, key), *([command] if command else [])])


def terminate(ctx: Context, instance: str, *, decrement: bool, force: bool, lose_data: bool = False) -> FleetInstance:
    """Terminate an instance; the group replaces it unless its size goes down with it.

    Rows that it holds are backed up first, once its writes are stopped; what replaces it has none of them.

    Raises:
        GateError: It is the last one that serves, and `force` is not given; or its rows cannot be saved.
        BusyError: Somebody is changing the fleet.
    """
    machine = resolve_instance(ctx, instance)
    with (
        runs.record_run(ctx, "terminate", instance=machine.id) as run,
        lock.acquire(ctx, run.id, f"terminate {machine.id}") as held_lock,
    ):
        freeze.end_stale_freeze(ctx)
        group = describe.describe_fleet(ctx).group
        if not force and _last_lines(machine, group, list_instances(ctx)):
            raise GateError(
                f"{machine.id} is the last instance that serves", state="It runs on.", next="the same with --force"
            )
        with freeze.frozen(ctx, WriteFreeze(run.id, f"terminate {machine.id}", (machine.id,)), ending=True):
            guard.backup_before_termination(
                ctx, held_lock, run.id, [machine.id], f"before terminate {machine.id}", lose_data=lose_data
            )
            if machine.grouped:
                auto_scaling.terminate(ctx.aws, machine.id, decrement=decrement)
            else:
                instances.terminate(ctx.aws, ctx.clock, machine.id)
    return machine


def _last_lines(machine: FleetInstance, group: AutoScalingGroup | None, found: list[FleetInstance]) -> bool:
    if group is not None and machine.grouped:
        serving = [m.id for m in group.members if m.serving]
    else:
        serving = [m.id for m in found if m.state == "running"]
    return serving == [machine.id]
