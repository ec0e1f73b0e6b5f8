"""Run Command really runs: AWS-RunShellScript on the machine, as root. moto: always Success, nothing happens.

https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.models import Command, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.core.cloud import ACCOUNT, Cloud, list_instances
from localcloud.ec2.machine_pool import MachinePool
from localcloud.errors import CloudError
from localcloud.ssm.agents import is_managed, run_on_instance
from localcloud.ssm.command_results import Invocation, command_response

DOCUMENT = "AWS-RunShellScript"
RETRY_SECONDS = 1.0  # between two attempts to reach a machine
# The script gets a file of its own and an empty standard input, as the agent gives it.
RUNNER = (
    'script=$(mktemp /var/tmp/ssm-XXXXXX) && cat >"$script" && chmod 700 "$script" && cd "$1" || exit 1; '
    'sh -c "$script" </dev/null; code=$?; rm -f "$script"; exit $code'
)


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's actions. May be called again with another cloud."""

    def send_command(self: Any) -> ActionResult:
        if (document := self._get_param("DocumentName")) != DOCUMENT:
            if document not in self.ssm_backend._documents:
                raise SSMException("InvalidDocument", f"Document with name {document} does not exist.")
            raise NotImplementedError(f"SendCommand with {document}: only {DOCUMENT} runs")
        parameters = self._get_param("Parameters", {}) or {}
        if not parameters.get("commands"):
            raise SSMException("InvalidParameters", "Parameter commands is required.")
        known = {
            one.id: one for one in list_instances() if is_managed(one) and one.ec2_backend.region_name == self.region
        }
        named = list(self._get_param("InstanceIds", []) or [])
        wrong = [one for one in named if one not in known or known[one].state != "running"]
        if wrong:
            raise SSMException(
                "InvalidInstanceId", f"Instances [[{', '.join(wrong)}]] not in a valid state for account {ACCOUNT}"
            )
        chosen = [
            *named,
            *(one for one in known if one not in named and matches_targets(known[one], self._get_param("Targets", []))),
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
        command.invocations = [Invocation(command, one, instance_name(known[one])) for one in chosen]
        self.ssm_backend._commands.append(command)
        for invocation in command.invocations:
            deliver(cloud, pool, command, invocation)
        return ActionResult({"Command": command_response(command)})

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


def resume(cloud: Cloud, pool: MachinePool) -> None:
    """After a start: the machines were powered off under what ran; what waits is delivered."""
    for _, _, backend in list(ssm_backends.iter_backends()):
        for command in backend._commands:
            for invocation in command.invocations:
                if not isinstance(invocation, Invocation) or invocation.is_over:
                    continue
                if invocation.status == "Pending":
                    deliver(cloud, pool, command, invocation)
                else:
                    invocation.end("Failed", "Terminated", err=b"The machine was powered off.")


def deliver(cloud: Cloud, pool: MachinePool, command: Any, invocation: Invocation) -> None:
    thread = threading.Thread(
        target=execute,
        args=(cloud, pool, command, invocation),
        name=f"command {invocation.instance_id}",
        daemon=True,
    )
    thread.start()


def execute(cloud: Cloud, pool: MachinePool, command: Any, invocation: Invocation) -> None:
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
            instance = next((one for one in list_instances() if one.id == invocation.instance_id), None)
            if instance is None or instance.state in ("shutting-down", "terminated"):
                return invocation.end("Failed", "Undeliverable")
            invocation.status = invocation.status_details = "InProgress"
            invocation.started = datetime.now(UTC)
        try:
            code, out, err = run_on_instance(
                pool, invocation.instance_id, ("sh", "-c", RUNNER, "sh", folder), script, limit
            )
        except TimeoutError:
            with cloud.change():
                return invocation.end("TimedOut", "ExecutionTimedOut", 137)
        except CloudError:  # nobody there took it
            with cloud.change():
                invocation.status = invocation.status_details = "Pending"
                invocation.started = None
                if time.monotonic() > deadline:
                    return invocation.end("TimedOut", "DeliveryTimedOut")
            time.sleep(RETRY_SECONDS)
            continue
        with cloud.change():
            if code:
                err += f"failed to run commands: exit status {code}".encode()
            good = code == 0
            return invocation.end("Success" if good else "Failed", "Success" if good else "Failed", code, out, err)


def matches_targets(instance: Any, asked: list[dict[str, Any]] | None) -> bool:
    """Whether a command's Targets name the instance: by id, or by tags that must all fit."""
    if not asked:
        return False
    tags = {f"tag:{tag['key']}": tag["value"] for tag in instance.get_tags()}
    known = {"InstanceIds": instance.id, **tags}
    return instance.state == "running" and all(known.get(one["Key"]) in one["Values"] for one in asked)


def instance_name(instance: Any) -> str:
    return next((tag["value"] for tag in instance.get_tags() if tag["key"] == "Name"), "")
