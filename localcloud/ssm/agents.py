"""Managed nodes of Systems Manager: machines whose role permits an agent and which have answered a ping. The image needs no agent
package: commands reach the machine through its driver."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.core.cloud import TERMINATED_STATES, Cloud, instance_profile, list_instances
from localcloud.ec2.machine_pool import MachinePool
from localcloud.errors import CloudError
from localcloud.ssm.command_results import paginated_result

RETRY_SECONDS = 1.0  # between pings until the machine has answered
PING_SECONDS = 60.0  # between pings after that; AWS's agents call every five minutes
POLICIES = ("AmazonSSMManagedInstanceCore", "AmazonEC2RoleforSSM", "AdministratorAccess")
REGISTRATION_ACTIONS = ("ssm:updateinstanceinformation", "ssm:update*", "ssm:*", "*")


def run_on_instance(
    pool: MachinePool, instance_id: str, argv: Sequence[str], stdin: bytes, timeout: float
) -> tuple[int, bytes, bytes]:
    """Run a program in a machine as root; see Machine.run. Raises CloudError if the machine accepts no commands."""
    if (machine := pool.running().get(instance_id)) is None:
        raise CloudError(f"{instance_id} is off")
    return machine.run(argv, stdin, timeout)


class SsmAgents:
    """Pings machines, and stores `agent_registered` and `agent_seen` (epoch seconds) in their instances."""

    def __init__(self, cloud: Cloud, pool: MachinePool) -> None:
        self._cloud, self._machine_pool = cloud, pool
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="agent")
        self._next: dict[str, float] = {}

    def tick(self) -> None:
        now = time.time()
        with self._cloud.lock:
            due = [
                instance
                for instance in list_instances()
                if instance.state == "running" and now >= self._next.get(instance.id, 0) and is_permitted(instance)
            ]
        for instance in due:
            self._next[instance.id] = now + 3600  # no second ping while this one runs
            self._pool.submit(self._ping, instance)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ping(self, instance: Any) -> None:
        try:
            argv = ("systemctl", "is-active", "--quiet", "basic.target")
            code, _, _ = run_on_instance(self._machine_pool, instance.id, argv, b"", 5)
        except (CloudError, TimeoutError):
            code = 1
        answered, now = code == 0, time.time()
        self._next[instance.id] = now + (PING_SECONDS if answered else RETRY_SECONDS)
        if answered:
            instance.agent_seen = now
            if not hasattr(instance, "agent_registered"):
                with self._cloud.change():
                    instance.agent_registered = now


def install() -> None:
    """Add the action."""
    SimpleSystemManagerResponse.describe_instance_information = describe_instance_information


def describe_instance_information(self: Any) -> ActionResult:
    """moto lacks the action.
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html"""
    nodes = []
    filters = {spec["Key"]: spec["Values"] for spec in self._get_param("Filters", [])}
    filters |= {spec["key"]: spec["valueSet"] for spec in self._get_param("InstanceInformationFilterList", [])}
    for instance in list_instances():
        if not is_managed(instance) or instance.ec2_backend.region_name != self.region:
            continue
        online = instance.state == "running" and time.time() - instance.agent_seen < 2 * PING_SECONDS
        node = {
            "InstanceId": instance.id, "PingStatus": "Online" if online else "ConnectionLost",
            "LastPingDateTime": instance.agent_seen, "AgentVersion": "3.3.0.0", "IsLatestVersion": True,
            "PlatformType": "Linux", "PlatformName": "Debian GNU/Linux", "PlatformVersion": "12",
            "ResourceType": "EC2Instance", "IPAddress": instance.private_ip,
            "ComputerName": instance.private_dns_name,
        }  # fmt: skip
        tags = {f"tag:{tag['key']}": tag["value"] for tag in instance.get_tags()}
        fields = {"InstanceIds": instance.id, "PingStatusTypes": node["PingStatus"], **node, **tags}
        if all(fields.get(key) in values for key, values in filters.items()):
            nodes.append(node)
    return paginated_result(self, "InstanceInformationList", nodes)


def is_managed(instance: Any) -> bool:
    """Return True if the instance is a managed node: it has answered a ping and is not terminated."""
    return hasattr(instance, "agent_registered") and instance.state not in TERMINATED_STATES


def is_permitted(instance: Any) -> bool:
    """Return True if the instance's role permits an agent to call Systems Manager."""
    profile = instance_profile(instance)
    for role in profile.roles if profile else []:
        attached = list(role.managed_policies.values())
        if any(policy.name in POLICIES for policy in attached):
            return True
        documents = [*role.policies.values(), *(policy.document for policy in attached)]
        if any(allows_registration(document) for document in documents):
            return True
    return False


def allows_registration(document: Any) -> bool:
    """Return True if a policy allows the agent's first call. Resources and conditions are ignored."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
        statements = parsed["Statement"]
    except (ValueError, TypeError, KeyError):
        return False
    for statement in statements if isinstance(statements, list) else [statements]:
        actions = statement.get("Action", [])
        actions = [actions] if isinstance(actions, str) else actions
        allows = statement.get("Effect") == "Allow"
        if allows and any(str(action).lower() in REGISTRATION_ACTIONS for action in actions):
            return True
    return False
