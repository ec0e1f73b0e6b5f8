"""Run Command really runs: AWS-RunShellScript on the machine, as root. moto: always Success, nothing happens.

https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.models import Command, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.agents import managed
from localcloud.cloud import ACCOUNT, Cloud, instances
from localcloud.errors import CloudError
from localcloud.fleet import Fleet

DOCUMENT, PLUGIN = "AWS-RunShellScript", "aws:runShellScript"
STDOUT_MOST, STDERR_MOST, LISTED_MOST = 24000, 8000, 2500  # characters that the API shows
CUT = "\n--output truncated--"
LATER_SECONDS = 1.0  # between two attempts to reach a machine
# The script gets a file of its own and an empty standard input, as the agent gives it.
RUNNER = (
    'script=$(mktemp /var/tmp/ssm-XXXXXX) && cat >"$script" && chmod 700 "$script" && cd "$1" || exit 1; '
    'sh -c "$script" </dev/null; code=$?; rm -f "$script"; exit $code'
)


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


def install(cloud: Cloud, fleet: Fleet) -> None:
    """Replace moto's actions. May be called again with another cloud."""

    def send_command(self: Any) -> ActionResult:
        if (document := self._get_param("DocumentName")) != DOCUMENT:
            if document not in self.ssm_backend._documents:
                raise SSMException("InvalidDocument", f"Document with name {document} does not exist.")
            raise NotImplementedError(f"SendCommand with {document}: only {DOCUMENT} runs")
        parameters = self._get_param("Parameters", {}) or {}
        if not parameters.get("commands"):
            raise SSMException("InvalidParameters", "Parameter commands is required.")
        known = {one.id: one for one in instances() if managed(one) and one.ec2_backend.region_name == self.region}
        named = list(self._get_param("InstanceIds", []) or [])
        wrong = [one for one in named if one not in known or known[one].state != "running"]
        if wrong:
            raise SSMException(
                "InvalidInstanceId", f"Instances [[{', '.join(wrong)}]] not in a valid state for account {ACCOUNT}"
            )
        chosen = [
            *named,
            *(one for one in known if one not in named and targeted(known[one], self._get_param("Targets", []))),
        ]
        command = Command(
            account_id=self.current_account,
            comment=self._get_param("Comment", "") or "",
            document_name=document,
            timeout_seconds=int(self._get_param("TimeoutSeconds") or 3600),
            instance_ids=list(chosen),  # moto adds every instance that there is
            max_concurrency=self._get_param("MaxConcurrency", "50"),
            max_errors=self._get_param("MaxErrors", "0"),
            parameters=parameters,
            backend_region=self.region,
        )
        command.instance_ids = named
        command.targets = self._get_param("Targets", []) or []
        command.invocations = [Invocation(command, one, name_of(known[one])) for one in chosen]
        self.ssm_backend._commands.append(command)
        for invocation in command.invocations:
            deliver(cloud, fleet, command, invocation)
        return ActionResult({"Command": told(command)})

    def cancel_command(self: Any) -> ActionResult:
        """What has not begun will not; what runs is left to end."""
        command = self.ssm_backend.get_command_by_id(self._get_param("CommandId"))
        wanted = self._get_param("InstanceIds", []) or []
        for one in command.invocations:
            if one.status == "Pending" and (not wanted or one.instance_id in wanted):
                one.end("Cancelled", "Cancelled")
        return ActionResult({})

    SimpleSystemManagerResponse.send_command = send_command
    SimpleSystemManagerResponse.cancel_command = cancel_command
    for action in (list_commands, get_command_invocation, list_command_invocations):
        setattr(SimpleSystemManagerResponse, action.__name__, action)


def resume(cloud: Cloud, fleet: Fleet) -> None:
    """After a start: the machines were powered off under what ran; what waits is delivered."""
    for _, _, backend in list(ssm_backends.iter_backends()):
        for command in backend._commands:
            for invocation in command.invocations:
                if not isinstance(invocation, Invocation) or invocation.is_over:
                    continue
                if invocation.status == "Pending":
                    deliver(cloud, fleet, command, invocation)
                else:
                    invocation.end("Failed", "Terminated", err=b"The machine was powered off.")


def deliver(cloud: Cloud, fleet: Fleet, command: Any, invocation: Invocation) -> None:
    thread = threading.Thread(
        target=carry_out,
        args=(cloud, fleet, command, invocation),
        name=f"command {invocation.instance_id}",
        daemon=True,
    )
    thread.start()


def carry_out(cloud: Cloud, fleet: Fleet, command: Any, invocation: Invocation) -> None:
    """Reach the machine within the command's TimeoutSeconds, run the script within its executionTimeout."""
    parameters = command.parameters
    script = "\n".join(parameters["commands"]).encode() + b"\n"
    folder = (parameters.get("workingDirectory") or [""])[0] or "/usr/bin"
    limit = float((parameters.get("executionTimeout") or ["3600"])[0] or 3600)
    deadline = time.monotonic() + command.timeout_seconds
    while True:
        with cloud.change():
            if invocation.is_over:
                return
            instance = next((one for one in instances() if one.id == invocation.instance_id), None)
            if instance is None or instance.state in ("shutting-down", "terminated"):
                return invocation.end("Failed", "Undeliverable")
            invocation.status = invocation.status_details = "InProgress"
            invocation.started = datetime.now(UTC)
        try:
            code, out, err = fleet.run(invocation.instance_id, ("sh", "-c", RUNNER, "sh", folder), script, limit)
        except TimeoutError:
            with cloud.change():
                return invocation.end("TimedOut", "ExecutionTimedOut", 137)
        except CloudError:  # nobody there took it
            with cloud.change():
                invocation.status = invocation.status_details = "Pending"
                invocation.started = None
                if time.monotonic() > deadline:
                    return invocation.end("TimedOut", "DeliveryTimedOut")
            time.sleep(LATER_SECONDS)
            continue
        with cloud.change():
            if code:
                err += f"failed to run commands: exit status {code}".encode()
            good = code == 0
            return invocation.end("Success" if good else "Failed", "Success" if good else "Failed", code, out, err)


# --- what the API shows ---


def list_commands(self: Any) -> ActionResult:
    commands = self.ssm_backend.list_commands(self._get_param("CommandId"), self._get_param("InstanceId"))
    shown, token = page(self, list(commands)[::-1])
    return ActionResult({"Commands": [told(one) for one in shown], "NextToken": token})


def get_command_invocation(self: Any) -> ActionResult:
    command = self.ssm_backend.get_command_by_id(self._get_param("CommandId"))
    plugin = self._get_param("PluginName")
    for one in command.invocations:
        if one.instance_id == self._get_param("InstanceId") and plugin in (None, one.plugin_name):
            return ActionResult(
                {
                    **names(one, "CommandId", "InstanceId", "Comment", "DocumentName", "DocumentVersion", "PluginName"),
                    **names(one, "ResponseCode", "Status", "StatusDetails"),
                    "ExecutionStartDateTime": moment(one.started),
                    "ExecutionElapsedTime": elapsed(one),
                    "ExecutionEndDateTime": moment(one.ended if one.started else None),
                    "StandardOutputContent": cut(one.out, STDOUT_MOST),
                    "StandardOutputUrl": "",
                    "StandardErrorContent": cut(one.err, STDERR_MOST),
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
        answer = names(one, "CommandId", "InstanceId", "InstanceName", "Comment", "DocumentName", "DocumentVersion",
                       "Status", "StatusDetails")  # fmt: skip
        answer |= {"RequestedDateTime": one.requested.timestamp(), "CommandPlugins": []}
        if self._get_param("Details"):
            output = one.out + (f"\n----------ERROR-------\n{one.err}" if one.err else "")
            plugin = {"Name": PLUGIN, "ResponseCode": one.response_code, "Output": cut(output, LISTED_MOST)}
            plugin |= names(one, "Status", "StatusDetails")
            for name, at in (("ResponseStartDateTime", one.started), ("ResponseFinishDateTime", one.ended)):
                if at:
                    plugin[name] = at.timestamp()
            answer["CommandPlugins"] = [plugin]
        answers.append(answer)
    return ActionResult({"CommandInvocations": answers, "NextToken": token})


def told(command: Any) -> dict[str, Any]:
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


def names(one: Any, *wanted: str) -> dict[str, Any]:
    """Fields of an invocation by their API names."""
    known = {"".join(part.title() for part in name.split("_")): value for name, value in vars(one).items()}
    return {name: known[name] for name in wanted}


def targeted(instance: Any, asked: list[dict[str, Any]] | None) -> bool:
    """Whether a command's Targets name the instance: by id, or by tags that must all fit."""
    if not asked:
        return False
    tags = {f"tag:{tag['key']}": tag["value"] for tag in instance.get_tags()}
    known = {"InstanceIds": instance.id, **tags}
    return instance.state == "running" and all(known.get(one["Key"]) in one["Values"] for one in asked)


def name_of(instance: Any) -> str:
    return next((tag["value"] for tag in instance.get_tags() if tag["key"] == "Name"), "")


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if at else ""


def elapsed(one: Invocation) -> str:
    if one.started is None:
        return ""
    spent: timedelta = (one.ended or datetime.now(UTC)) - one.started
    return f"PT{spent.total_seconds():.3f}S"


def page(response: Any, items: list[Any]) -> tuple[list[Any], str | None]:
    size, start = int(response._get_param("MaxResults") or 50), int(response._get_param("NextToken") or 0)
    return items[start : start + size], str(start + size) if start + size < len(items) else None
