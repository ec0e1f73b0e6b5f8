"""Reach into an instance of the fleet: a script as root, through Run Command, or by SSH where that lets nobody in."""

from __future__ import annotations

from goldenami.aws import run_command
from goldenami.aws.run_command import CommandResult
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.model.fleet import FleetInstance
from goldenami.tools import process


def run_on_instance(
    ctx: Context, machine: FleetInstance, script: str, *, key: str = "", timeout: float = 60
) -> CommandResult:
    """Run a shell script as root and wait for its end.

    Args:
        shop: Where.
        machine: On which instance.
        script: Shell text.
        key: The private key's file for SSH; what ssh finds by itself when empty.
        timeout: Seconds that it may take.

    Raises:
        AwsError: Run Command does not reach the instance, and the recipe opens no SSH.
        ToolError: ssh is not installed, or did not end in time.
    """
    said = run_command.run(ctx.aws, ctx.clock, machine.id, script, timeout=timeout)
    if said is not None:
        return said
    if not ctx.recipe.fleet.key_name:
        raise AwsError(
            f"{machine.id} is not managed by Systems Manager (it has no SSM agent, or its role does not let the agent in),"
            " and the fleet lets nobody in by SSH",
            next="set run_command = true (or key_name) under [fleet] in golden.toml, ./invoke fleet.create, then promote",
        )
    done = process.run(
        [*ssh_command(ctx, machine, key, "-o", "BatchMode=yes"), "sudo -n bash -s"], stdin=script, timeout=timeout
    )
    return CommandResult(done.code, done.stdout, done.stderr, "Success" if done.code == 0 else "Failed")


def ssh_command(ctx: Context, machine: FleetInstance, key: str, *more: str) -> list[str]:
    """The command line of ssh to an instance, without a command for it."""
    options = ["-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=15", *more]
    return ["ssh", *options, *(["-i", key] if key else []), f"{ctx.family.user}@{machine.address}"]
