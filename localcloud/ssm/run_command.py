"""Run Command: AWS-RunShellScript on machines, as root. moto runs nothing and reports Success.
https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.models import Command, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.core.cloud import ACCOUNT, TERMINATED_STATES, Cloud, list_instances, regional_backends
from localcloud.core.overrides import replace_methods
from localcloud.ec2.machine_pool import MachinePool
from localcloud.errors import CloudError
from localcloud.ssm.agents import is_managed, run_on_instance
from localcloud.ssm.command_results import Invocation, command_response

DOCUMENT = "AWS-RunShellScript"
RETRY_SECONDS = 1.0  # between attempts to reach a machine
# The script gets a file of its own and an empty standard input, as the agent gives it.
RUNNER = (
    'script=$(mktemp /var/tmp/ssm-XXXXXX) && cat >"$script" && chmod 700 "$script" && cd "$1" || exit 1; '
    'sh -c "$script" </dev/null; code=$?; rm -f "$script"; exit $code'
)


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's actions."""

    def send_command(self: Any) -> ActionResult:
        """https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html"""
        if (document := self._get_param("DocumentName")) != DOCUMENT:
            if document not in self.ssm_backend._documents:
                raise SSMException("InvalidDocument", f"Document with name {document} does not exist.")
            raise NotImplementedError(f"SendCommand with {document}: only {DOCUMENT} runs")
        parameters = self._get_param("Parameters", {}) or {}
        if not parameters.get("commands"):
            raise SSMException("InvalidParameters", "Parameter commands is required.")
        instances = [one for one in list_instances() if one.ec2_backend.region_name == self.region]
        nodes = {instance.id: instance for instance in instances if is_managed(instance)}
        requested, targets = list(self._get_param("InstanceIds", []) or []), self._get_param("Targets", []) or []
        if invalid := [node_id for node_id in requested if node_id not in nodes or nodes[node_id].state != "running"]:
            problem = f"Instances [[{', '.join(invalid)}]] not in a valid state for account {ACCOUNT}"
            raise SSMException("InvalidInstanceId", problem)
        matching = [node_id for node_id, node in nodes.items() if matches_targets(node, targets)]
        instance_ids = list(dict.fromkeys([*requested, *matching]))
        command = Command(
            account_id=self.current_account,
            comment=self._get_param("Comment", "") or "",
            document_name=document,
            timeout_seconds=int(self._get_param("TimeoutSeconds") or 3600),
            instance_ids=list(instance_ids),  # moto would add all instances to an empty list
            max_concurrency=self._get_param("MaxConcurrency", "50"),
            max_errors=self._get_param("MaxErrors", "0"),
            parameters=parameters,
            backend_region=self.region,
        )
        command.instance_ids, command.targets = requested, targets
        command.invocations = [Invocation(command, node_id, instance_name(nodes[node_id])) for node_id in instance_ids]
        self.ssm_backend._commands.append(command)
        for invocation in command.invocations:
            deliver(cloud, pool, command, invocation)
        return ActionResult({"Command": command_response(command)})

    def cancel_command(self: Any) -> ActionResult:
        """moto lacks the action. Pending invocations are cancelled; running ones complete.
        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CancelCommand.html"""
        command = self.ssm_backend.get_command_by_id(self._get_param("CommandId"))
        instance_ids = self._get_param("InstanceIds", []) or []
        for invocation in command.invocations:
            if invocation.status == "Pending" and (not instance_ids or invocation.instance_id in instance_ids):
                invocation.end("Cancelled", "Cancelled")
        return ActionResult({})

    replace_methods(SimpleSystemManagerResponse, send_command, cancel_command)


def resume(cloud: Cloud, pool: MachinePool) -> None:
    """Deliver pending invocations after a restart, and fail those whose machine was powered off."""
    for backend in regional_backends(ssm_backends):
        for command in backend._commands:
            for invocation in command.invocations:
                if not isinstance(invocation, Invocation) or invocation.is_over:
                    continue
                if invocation.status == "Pending":
                    deliver(cloud, pool, command, invocation)
                else:
                    invocation.end("Failed", "Terminated", err=b"The machine was powered off.")


def deliver(cloud: Cloud, pool: MachinePool, command: Any, invocation: Invocation) -> None:
    """Execute an invocation in a thread of its own."""
    name, arguments = f"command {invocation.instance_id}", (cloud, pool, command, invocation)
    threading.Thread(target=execute, args=arguments, name=name, daemon=True).start()


def execute(cloud: Cloud, pool: MachinePool, command: Any, invocation: Invocation) -> None:
    """Run the script, with TimeoutSeconds to reach the machine and executionTimeout to complete."""
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
            if instance is None or instance.state in TERMINATED_STATES:
                return invocation.end("Failed", "Undeliverable")
            invocation.status = invocation.status_details = "InProgress"
            invocation.started = datetime.now(UTC)
        try:
            argv = ("sh", "-c", RUNNER, "sh", folder)
            code, out, err = run_on_instance(pool, invocation.instance_id, argv, script, limit)
        except TimeoutError:
            with cloud.change():
                return invocation.end("TimedOut", "ExecutionTimedOut", 137)
        except CloudError:  # the machine accepts no commands
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
            status = "Failed" if code else "Success"
            return invocation.end(status, status, code, out, err)


def matches_targets(instance: Any, targets: list[dict[str, Any]]) -> bool:
    """Return True if all of a command's Targets (ids or tags) match the instance."""
    if not targets:
        return False
    tags = {f"tag:{tag['key']}": tag["value"] for tag in instance.get_tags()}
    fields = {"InstanceIds": instance.id, **tags}
    return instance.state == "running" and all(fields.get(target["Key"]) in target["Values"] for target in targets)


def instance_name(instance: Any) -> str:
    """Return the instance's Name tag, or an empty string."""
    return next((tag["value"] for tag in instance.get_tags() if tag["key"] == "Name"), "")
