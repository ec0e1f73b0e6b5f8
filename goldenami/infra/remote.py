"""Run a script as root on an instance of the fleet: through Run Command, or by SSH if that is not available."""

from __future__ import annotations

from goldenami.aws import run_command
from goldenami.aws.run_command import CommandResult
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.model.fleet import FleetInstance
from goldenami.tools import process


def run_on_instance(
    ctx: Context, instance: FleetInstance, script: str, *, key: str = "", timeout: float = 60
) -> CommandResult:
    """Run a shell script as root and wait until it ends; raise AwsError if neither Run Command nor SSH is available."""
    result = run_command.run(ctx.aws, ctx.clock, instance.id, script, timeout=timeout)
    if result is not None:
        return result
    if not ctx.recipe.fleet.key_name:
        raise AwsError(
            f"{instance.id} is not managed by Systems Manager (it has no SSM agent, or its role does not allow it),"
            " and the fleet has no SSH key",
            next="set run_command = true (or key_name) under [fleet] in golden.toml, ./invoke fleet.create, then promote",
        )
    argv = [*ssh_command(ctx, instance, key, "-o", "BatchMode=yes"), "sudo -n bash -s"]
    done = process.run(argv, stdin=script, timeout=timeout)
    return CommandResult(done.code, done.stdout, done.stderr, "Success" if done.code == 0 else "Failed")


def ssh_command(ctx: Context, instance: FleetInstance, key: str, *more: str) -> list[str]:
    """Return the ssh command line for an instance, without a remote command."""
    options = ["-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=15", *more]
    return ["ssh", *options, *(["-i", key] if key else []), f"{ctx.family.user}@{instance.address}"]
