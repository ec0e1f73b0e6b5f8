"""Which machines are managed by Systems Manager: those whose role lets an agent in, and which answered once.

The local cloud needs no agent package in the image: the way into the machine is its driver's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.core.cloud import ACCOUNT, Cloud, list_instances
from localcloud.ec2.machine_pool import MachinePool
from localcloud.errors import CloudError

RETRY_SECONDS = 1.0  # until an agent has answered
PING_SECONDS = 60.0  # after that; AWS's agents call every five minutes
POLICIES = ("AmazonSSMManagedInstanceCore", "AmazonEC2RoleforSSM", "AdministratorAccess")
REGISTRATION_ACTIONS = ("ssm:updateinstanceinformation", "ssm:update*", "ssm:*", "*")


def run_on_instance(
    pool: MachinePool, instance_id: str, argv: Sequence[str], stdin: bytes, timeout: float
) -> tuple[int, bytes, bytes]:
    """Run a program in a machine, as root: Machine.run. Raises CloudError when the machine takes none."""
    machine = pool.running().get(instance_id)
    if machine is None:
        raise CloudError(f"{instance_id} is off")
    return machine.run(argv, stdin, timeout)


class SsmAgents:
    """Pings machines. `registered` and `seen` (epoch seconds) are kept on the instances."""

    def __init__(self, cloud: Cloud, pool: MachinePool) -> None:
        self._cloud, self._machine_pool = cloud, pool
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="agent")
        self._next: dict[str, float] = {}

    def tick(self) -> None:
        now = time.time()
        with self._cloud.lock:
            due = [
                one
                for one in list_instances()
                if one.state == "running" and now >= self._next.get(one.id, 0) and is_permitted(one)
            ]
        for instance in due:
            self._next[instance.id] = now + 3600  # not twice at once
            self._pool.submit(self._ping, instance)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ping(self, instance: Any) -> None:
        try:
            code, _, _ = run_on_instance(
                self._machine_pool, instance.id, ("systemctl", "is-active", "--quiet", "basic.target"), b"", 5
            )
        except (CloudError, TimeoutError):
            code = 1
        answered, now = code == 0, time.time()
        self._next[instance.id] = now + (PING_SECONDS if answered else RETRY_SECONDS)
        if answered:
            first = not hasattr(instance, "agent_registered")
            instance.agent_seen = now
            if first:
                with self._cloud.change():
                    instance.agent_registered = now


def install() -> None:
    SimpleSystemManagerResponse.describe_instance_information = describe_instance_information


def describe_instance_information(self: Any) -> ActionResult:
    """moto has none."""
    told = []
    asked = {one["Key"]: one["Values"] for one in self._get_param("Filters", [])}
    asked |= {one["key"]: one["valueSet"] for one in self._get_param("InstanceInformationFilterList", [])}
    for instance in list_instances():
        if not is_managed(instance) or instance.ec2_backend.region_name != self.region:
            continue
        online = instance.state == "running" and time.time() - instance.agent_seen < 2 * PING_SECONDS
        one = {
            "InstanceId": instance.id,
            "PingStatus": "Online" if online else "ConnectionLost",
            "LastPingDateTime": instance.agent_seen,
            "AgentVersion": "3.3.0.0",
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Debian GNU/Linux",
            "PlatformVersion": "12",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.private_ip,
            "ComputerName": instance.private_dns_name,
        }
        tags = {f"tag:{tag['key']}": tag["value"] for tag in instance.get_tags()}
        shown = {"InstanceIds": instance.id, "PingStatusTypes": one["PingStatus"], **one, **tags}
        if all(shown.get(key) in values for key, values in asked.items()):
            told.append(one)
    size, start = int(self._get_param("MaxResults") or 50), int(self._get_param("NextToken") or 0)
    token = str(start + size) if start + size < len(told) else None
    return ActionResult({"InstanceInformationList": told[start : start + size], "NextToken": token})


def is_managed(instance: Any) -> bool:
    """Whether Systems Manager knows the instance: its agent has called once, and it is not gone."""
    return hasattr(instance, "agent_registered") and instance.state not in ("shutting-down", "terminated")


def is_permitted(instance: Any) -> bool:
    """Whether the instance's role lets an agent call Systems Manager."""
    found = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    if not found:
        return False
    iam = iam_backends[ACCOUNT]["aws"]
    profile = iam.instance_profiles.get(found.iam_instance_profile.id, found.iam_instance_profile)
    for role in profile.roles:
        attached = list(role.managed_policies.values())
        if any(one.name in POLICIES for one in attached):
            return True
        documents = [*role.policies.values(), *(one.document for one in attached)]
        if any(allows_registration(document) for document in documents):
            return True
    return False


def allows_registration(document: Any) -> bool:
    """Whether a policy's text allows the agent's first call. Resources and conditions are not weighed."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
        statements = parsed["Statement"]
    except (ValueError, TypeError, KeyError):
        return False
    for statement in statements if isinstance(statements, list) else [statements]:
        actions = statement.get("Action", [])
        wanted = [actions] if isinstance(actions, str) else actions
        if statement.get("Effect") == "Allow" and any(str(one).lower() in REGISTRATION_ACTIONS for one in wanted):
            return True
    return False
