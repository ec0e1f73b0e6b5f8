"""What the API tells of commands that were sent: their invocations, outputs within AWS's limits, what they add up to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

PLUGIN = "aws:runShellScript"
STDOUT_MOST, STDERR_MOST, LISTED_MOST = 24000, 8000, 2500  # characters
TRUNCATED = "\n--output truncated--"


class Invocation:
    """One instance's part of a command, with the names that GetCommandInvocation shows."""

    def __init__(self, command: Any, instance_id: str, name: str) -> None:
        self.command_id, self.instance_id, self.instance_name = command.command_id, instance_id, name
        self.comment, self.document_name, self.document_version = command.comment, command.document_name, "$DEFAULT"
        self.plugin_name, self.requested = PLUGIN, datetime.now(UTC)
        self.status, self.status_details, self.response_code = "Pending", "Pending", -1
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.out, self.err = "", ""

    def end(self, status: str, details: str, code: int = -1, out: bytes = b"", err: bytes = b"") -> None:
        self.status, self.status_details, self.response_code = status, details, code
        self.out, self.err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        self.ended = datetime.now(UTC)

    @property
    def is_over(self) -> bool:
        return self.status not in ("Pending", "InProgress", "Delayed", "Cancelling")


def install() -> None:
    """Replace moto's actions."""
    for action in (list_commands, get_command_invocation, list_command_invocations):
        setattr(SimpleSystemManagerResponse, action.__name__, action)


def list_commands(self: Any) -> ActionResult:
    commands = self.ssm_backend.list_commands(self._get_param("CommandId"), self._get_param("InstanceId"))
    shown, token = page(self, list(commands)[::-1])
    return ActionResult({"Commands": [command_response(one) for one in shown], "NextToken": token})


def get_command_invocation(self: Any) -> ActionResult:
    command = self.ssm_backend.get_command_by_id(self._get_param("CommandId"))
    plugin = self._get_param("PluginName")
    for one in command.invocations:
        if one.instance_id == self._get_param("InstanceId") and plugin in (None, one.plugin_name):
            return ActionResult(
                {
                    **pick_fields(
                        one, "CommandId", "InstanceId", "Comment", "DocumentName", "DocumentVersion", "PluginName"
                    ),
                    **pick_fields(one, "ResponseCode", "Status", "StatusDetails"),
                    "ExecutionStartDateTime": format_time(one.started),
                    "ExecutionElapsedTime": format_elapsed(one),
                    "ExecutionEndDateTime": format_time(one.ended if one.started else None),
                    "StandardOutputContent": truncate(one.out, STDOUT_MOST),
                    "StandardOutputUrl": "",
                    "StandardErrorContent": truncate(one.err, STDERR_MOST),
                    "StandardErrorUrl": "",
                }
            )
    raise SSMException("InvocationDoesNotExist", "")


def list_command_invocations(self: Any) -> ActionResult:
    """moto has none."""
    command_id, instance_id = self._get_param("CommandId"), self._get_param("InstanceId")
    commands = self.ssm_backend.list_commands(command_id, None)
    found = [one for command in commands for one in command.invocations if instance_id in (None, one.instance_id)][::-1]
    shown, token = page(self, found)
    answers = []
    for one in shown:
        answer = pick_fields(one, "CommandId", "InstanceId", "InstanceName", "Comment", "DocumentName", "DocumentVersion",
                       "Status", "StatusDetails")  # fmt: skip
        answer |= {"RequestedDateTime": one.requested.timestamp(), "CommandPlugins": []}
        if self._get_param("Details"):
            output = one.out + (f"\n----------ERROR-------\n{one.err}" if one.err else "")
            plugin = {"Name": PLUGIN, "ResponseCode": one.response_code, "Output": truncate(output, LISTED_MOST)}
            plugin |= pick_fields(one, "Status", "StatusDetails")
            for name, at in (("ResponseStartDateTime", one.started), ("ResponseFinishDateTime", one.ended)):
                if at:
                    plugin[name] = at.timestamp()
            answer["CommandPlugins"] = [plugin]
        answers.append(answer)
    return ActionResult({"CommandInvocations": answers, "NextToken": token})


def command_response(command: Any) -> dict[str, Any]:
    """A command, with the status that its invocations add up to."""
    parts = [one for one in command.invocations if isinstance(one, Invocation)]
    over = [one for one in parts if one.is_over]
    bad = [one for one in over if one.status in ("Failed", "TimedOut")]
    if len(over) < len(parts):
        status = "InProgress" if over or any(one.status == "InProgress" for one in parts) else "Pending"
    else:
        status = bad[0].status if bad else "Cancelled" if any(one.status == "Cancelled" for one in over) else "Success"
    details = status if parts else "NoInstancesInTag"
    shown: dict[str, Any] = command.response_object()
    return shown | {
        "Status": status, "StatusDetails": details, "TargetCount": len(parts), "CompletedCount": len(over),
        "ErrorCount": sum(one.status == "Failed" for one in bad),
        "DeliveryTimedOutCount": sum(one.status_details == "DeliveryTimedOut" for one in bad),
    }  # fmt: skip


def pick_fields(one: Any, *wanted: str) -> dict[str, Any]:
    """Fields of an invocation by their API names."""
    known = {"".join(part.title() for part in name.split("_")): value for name, value in vars(one).items()}
    return {name: known[name] for name in wanted}


def truncate(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(TRUNCATED)] + TRUNCATED


def format_time(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if at else ""


def format_elapsed(one: Invocation) -> str:
    if one.started is None:
        return ""
    spent: timedelta = (one.ended or datetime.now(UTC)) - one.started
    return f"PT{spent.total_seconds():.3f}S"


def page(response: Any, items: list[Any]) -> tuple[list[Any], str | None]:
    size, start = int(response._get_param("MaxResults") or 50), int(response._get_param("NextToken") or 0)
    return items[start : start + size], str(start + size) if start + size < len(items) else None
