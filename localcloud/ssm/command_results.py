"""Results of Run Command: invocations, their output within AWS's limits, and the status of commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.core.overrides import replace_methods
from localcloud.core.pagination import paginate

PLUGIN = "aws:runShellScript"
MAX_STDOUT, MAX_STDERR, MAX_LISTED = 24000, 8000, 2500  # characters
TRUNCATED = "\n--output truncated--"


class Invocation:
    """A command on one instance. Attributes have the names of GetCommandInvocation."""

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
        """True once the invocation has ended."""
        return self.status not in ("Pending", "InProgress", "Delayed", "Cancelling")


def install() -> None:
    """Replace moto's actions."""
    replace_methods(SimpleSystemManagerResponse, list_commands, get_command_invocation, list_command_invocations)


def list_commands(self: Any) -> ActionResult:
    """moto ignores MaxResults and NextToken.
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ListCommands.html"""
    commands = self.ssm_backend.list_commands(self._get_param("CommandId"), self._get_param("InstanceId"))
    return paginated_result(self, "Commands", [command_response(command) for command in list(commands)[::-1]])


def get_command_invocation(self: Any) -> ActionResult:
    """moto invents the result. https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html"""
    command = self.ssm_backend.get_command_by_id(self._get_param("CommandId"))
    plugin = self._get_param("PluginName")
    for invocation in command.invocations:
        if invocation.instance_id == self._get_param("InstanceId") and plugin in (None, invocation.plugin_name):
            names = ("CommandId", "InstanceId", "Comment", "DocumentName", "DocumentVersion", "PluginName")
            return ActionResult(
                {
                    **pick_fields(invocation, *names, "ResponseCode", "Status", "StatusDetails"),
                    "ExecutionStartDateTime": format_time(invocation.started),
                    "ExecutionElapsedTime": format_elapsed(invocation),
                    "ExecutionEndDateTime": format_time(invocation.ended if invocation.started else None),
                    "StandardOutputContent": truncate(invocation.out, MAX_STDOUT),
                    "StandardOutputUrl": "",
                    "StandardErrorContent": truncate(invocation.err, MAX_STDERR),
                    "StandardErrorUrl": "",
                }
            )
    raise SSMException("InvocationDoesNotExist", "")


def list_command_invocations(self: Any) -> ActionResult:
    """moto lacks the action. https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ListCommandInvocations.html"""
    command_id, instance_id = self._get_param("CommandId"), self._get_param("InstanceId")
    invocations = [
        invocation
        for command in self.ssm_backend.list_commands(command_id, None)
        for invocation in command.invocations
        if instance_id in (None, invocation.instance_id)
    ][::-1]
    responses = [invocation_response(one, details=bool(self._get_param("Details"))) for one in invocations]
    return paginated_result(self, "CommandInvocations", responses)


def invocation_response(invocation: Invocation, *, details: bool) -> dict[str, Any]:
    """Return an invocation in the form of ListCommandInvocations."""
    response = pick_fields(
        invocation, "CommandId", "InstanceId", "InstanceName", "Comment", "DocumentName", "DocumentVersion",
        "Status", "StatusDetails",
    )  # fmt: skip
    response |= {"RequestedDateTime": invocation.requested.timestamp(), "CommandPlugins": []}
    if details:
        output = invocation.out + (f"\n----------ERROR-------\n{invocation.err}" if invocation.err else "")
        plugin = {"Name": PLUGIN, "ResponseCode": invocation.response_code, "Output": truncate(output, MAX_LISTED)}
        plugin |= pick_fields(invocation, "Status", "StatusDetails")
        if invocation.started:
            plugin["ResponseStartDateTime"] = invocation.started.timestamp()
        if invocation.ended:
            plugin["ResponseFinishDateTime"] = invocation.ended.timestamp()
        response["CommandPlugins"] = [plugin]
    return response


def command_response(command: Any) -> dict[str, Any]:
    """Return a command with the status that follows from its invocations.
    https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html"""
    invocations = [one for one in command.invocations if isinstance(one, Invocation)]
    ended = [invocation for invocation in invocations if invocation.is_over]
    failed = [invocation for invocation in ended if invocation.status in ("Failed", "TimedOut")]
    statuses = [invocation.status for invocation in invocations]
    if len(ended) < len(invocations):
        status = "InProgress" if ended or "InProgress" in statuses else "Pending"
    else:
        status = failed[0].status if failed else "Cancelled" if "Cancelled" in statuses else "Success"
    response: dict[str, Any] = command.response_object()
    return response | {
        "Status": status,
        "StatusDetails": status if invocations else "NoInstancesInTag",
        "TargetCount": len(invocations),
        "CompletedCount": len(ended),
        "ErrorCount": statuses.count("Failed"),
        "DeliveryTimedOutCount": sum(invocation.status_details == "DeliveryTimedOut" for invocation in failed),
    }


def pick_fields(invocation: Invocation, *names: str) -> dict[str, Any]:
    """Return attributes of an invocation by their API names."""
    fields = {"".join(part.title() for part in name.split("_")): value for name, value in vars(invocation).items()}
    return {name: fields[name] for name in names}


def truncate(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - len(TRUNCATED)] + TRUNCATED


def format_time(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if time else ""


def format_elapsed(invocation: Invocation) -> str:
    """Return the duration of an invocation in ISO 8601."""
    if invocation.started is None:
        return ""
    duration: timedelta = (invocation.ended or datetime.now(UTC)) - invocation.started
    return f"PT{duration.total_seconds():.3f}S"


def paginated_result(response: Any, field: str, items: list[Any]) -> ActionResult:
    """Return one page of the items: MaxResults (50 by default), and the NextToken."""
    size, token = int(response._get_param("MaxResults") or 50), response._get_param("NextToken")
    page, next_token = paginate(items, size, token, SSMException)
    return ActionResult({field: page, "NextToken": next_token})
