"""SSM Run Command: run a script on an instance and read its output.

Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, poll, wait_until

_PENDING = ("Pending", "InProgress", "Delayed", "Cancelling")


@dataclass(frozen=True)
class CommandResult:
    """Exit code (-1 if the script did not start or did not end) and output of a script."""

    code: int
    stdout: str
    stderr: str = ""
    status: str = "Success"


def run(
    aws: AwsSession,
    clock: Clock,
    instance: str,
    script: str,
    timeout: float = 60,
    heartbeat: Callable[[], object] = lambda: None,
) -> CommandResult | None:
    """Run a shell script as root on an instance and wait until it ends, calling `heartbeat` repeatedly meanwhile.

    Return None if the instance is not managed by SSM (no agent, or its role lacks permissions).
    """
    ssm = aws.client("ssm")
    command = ""
    with suppress("InvalidInstanceId"):
        command = ssm.send_command(
            InstanceIds=[instance],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": script.splitlines(), "executionTimeout": [str(max(1, int(timeout)))]},
            TimeoutSeconds=max(30, int(timeout)),
            Comment="goldenami",
        )["Command"]["CommandId"]
    if not command:
        return None
    for _ in poll(clock, timeout=timeout + 30, every=0.5):
        heartbeat()
        with suppress("InvocationDoesNotExist"):  # Systems Manager is eventually consistent
            invocation = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
            if invocation["Status"] not in _PENDING:
                return CommandResult(
                    invocation.get("ResponseCode", -1),
                    invocation.get("StandardOutputContent", ""),
                    invocation.get("StandardErrorContent", ""),
                    invocation["Status"],
                )
    return CommandResult(-1, "", f"the script did not end within {timeout:.0f} s", "TimedOut")


def wait_for_queued(aws: AwsSession, clock: Clock, instance: str, timeout: float = 3600) -> None:
    """Wait until no command is pending or running on an instance; an interrupted operation may have left one.

    Raises:
        AwsError: A command is still running after `timeout` seconds.
    """
    paginator = aws.client("ssm").get_paginator("list_command_invocations")
    wait_until(
        clock,
        lambda: [i["Status"] for page in paginator.paginate(InstanceId=instance) for i in page["CommandInvocations"]],
        lambda statuses: not any(status in _PENDING for status in statuses),
        timeout=timeout,
        every=1,
        on_timeout=lambda _: AwsError(
            f"a command is still running on {instance} after {timeout:.0f} s",
            next="aws ssm list-command-invocations, then aws ssm cancel-command",
        ),
    )
