"""Run a script on an instance through SSM Run Command, and read what it printed.

Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, poll

_PENDING = ("Pending", "InProgress", "Delayed", "Cancelling")


@dataclass(frozen=True)
class CommandResult:
    """A script that has ended: its exit code (-1 when it never ran or did not end) and what it printed."""

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
    """Run a shell script as root on an instance and wait for its end.

    Args:
        aws: Where.
        clock: What to wait with.
        instance: The instance's id.
        script: Shell text.
        timeout: Seconds that the script may take.
        beat: Called while it runs, again and again: a sign of life.

    Returns:
        How it ended; None when the instance is not managed by SSM (no agent, or its role does not let it in).
    """
    ssm = aws.client("ssm")
    try:
        sent = ssm.send_command(
            InstanceIds=[instance],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": script.splitlines(), "executionTimeout": [str(max(1, int(timeout)))]},
            TimeoutSeconds=max(30, int(timeout)),
            Comment="goldenami",
        )
    except ClientError as error:
        if code(error) == "InvalidInstanceId":
            return None
        raise
    command = sent["Command"]["CommandId"]
    for _ in poll(clock, timeout=timeout + 30, every=0.5):
        heartbeat()
        try:
            seen = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        except ClientError as error:
            if code(error) != "InvocationDoesNotExist":  # it takes a moment to be there
                raise
            continue
        if seen["Status"] not in _PENDING:
            return CommandResult(
                seen.get("ResponseCode", -1),
                seen.get("StandardOutputContent", ""),
                seen.get("StandardErrorContent", ""),
                seen["Status"],
            )
    return CommandResult(-1, "", f"no end within {timeout:.0f} s", "TimedOut")


def wait_for_queued(aws: AwsSession, clock: Clock, instance: str, timeout: float = 3600) -> None:
    """Wait until nothing that was sent to an instance still waits or runs there: a sender that died leaves it behind.

    Raises:
        AwsError: Something still runs when the time (seconds) is up.
    """
    pages = aws.client("ssm").get_paginator("list_command_invocations")
    for _ in poll(clock, timeout=timeout, every=1):
        found = [i for page in pages.paginate(InstanceId=instance) for i in page["CommandInvocations"]]
        if not any(i["Status"] in _PENDING for i in found):
            return
    raise AwsError(f"a command still runs on {instance}", next="aws ssm list-command-invocations, and cancel-command")
