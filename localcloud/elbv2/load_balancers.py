"""Load balancers made real: an address of their own, probed targets, and a data plane that really forwards."""

from __future__ import annotations

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer, elbv2_backends

from localcloud.core.cloud import Cloud
from localcloud.elbv2 import health_checks, targets
from localcloud.elbv2.haproxy import HAProxy
from localcloud.elbv2.haproxy_config import Frontend, Plan, Server, build_route
from localcloud.elbv2.targets import TargetHealthStore
from localcloud.errors import CloudError

_create, _listen = ELBv2Backend.create_load_balancer, ELBv2Backend.create_listener
PROBERS = 16


class LoadBalancerService:
    """The reconciler of all load balancers."""

    def __init__(self, cloud: Cloud, health: TargetHealthStore) -> None:
        self._cloud, self._health = cloud, health
        self._proxy = HAProxy(cloud.state_dir.root / "balancer", cloud.state_dir.machines)
        self._pool = ThreadPoolExecutor(PROBERS, thread_name_prefix="prober")
        self._problem = ""

    def tick(self) -> None:
        """Settle what is drained, probe what is due, and make the data plane follow."""
        now = time.time()
        with self._cloud.lock:
            if self._drain(now):
                self._cloud.store.save()
            plan = self._plan()
            served = [
                (group, plan.backends.get(proxy_name("tg", group.arn), ())) for group in targets.list_target_groups()
            ]
            drained = {
                (group.arn, one) for group in targets.list_target_groups() for one in targets.draining_targets(group)
            }
            due = [
                (group, target["Id"], probe)
                for group in targets.list_target_groups()
                if targets.is_in_use(group) and group.health_check_enabled
                for target in group.targets.values()
                if self._health.state(group, target["Id"])[0] != "unused"
                and (probe := health_checks.build_probe(group, target))
                if self._health.is_due(group, target["Id"], now)
            ]
        for group, target_id, probe in due:
            self._pool.submit(self._probe, group, target_id, probe)
        try:
            self._proxy.apply(plan)
            self._problem = ""
        except CloudError as error:
            if str(error) != self._problem:
                print(f"load balancer: {error}", file=sys.stderr, flush=True)
            self._problem = str(error)
        serving = {(group.arn, one.target) for group, servers in served for one in servers if one.up}
        self._health.set_routing(serving, drained, works=not self._problem)
        self._update_states()

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._proxy.stop()

    def _probe(self, group: Any, target_id: str, probe: health_checks.Probe) -> None:
        self._health.record(group, target_id, *health_checks.run_probe(probe))

    def _drain(self, now: float) -> bool:
        """Forget targets whose draining is over, drain those whose instance is gone; True when something changed."""
        known, changed = set(), False
        for group in targets.list_target_groups():
            for target_id in list(group.targets):
                instance = group.ec2_backend.get_instance_by_id(target_id)
                if target_id.startswith("i-") and (
                    instance is None or instance.state in ("shutting-down", "terminated")
                ):
                    targets.drain(group, target_id)
                    changed = True
            for target_id in [
                one for one in targets.draining_targets(group) if self._health.is_drained(group, one, now)
            ]:
                del targets.draining_targets(group)[target_id]
                changed = True
            known |= {(group.arn, one) for one in group.targets}
        self._health.retain(known)
        return changed

    def _plan(self) -> Plan:
        frontends, backends = [], {}
        for group in targets.list_target_groups():
            if targets.is_in_use(group):
                backends[proxy_name("tg", group.arn)] = tuple(self._servers(group))
        names = {group.arn: proxy_name("tg", group.arn) for group in targets.list_target_groups()}
        idle = 60
        for _, _, backend in list(elbv2_backends.iter_backends()):
            for balancer in backend.load_balancers.values():
                idle = int(balancer.attrs.get("idle_timeout.timeout_seconds", idle))
                for listener in balancer.listeners.values():
                    rules = sorted(
                        listener.rules.values(), key=lambda one: (one.is_default, parse_priority(one.priority))
                    )
                    routes = tuple(build_route(rule.conditions, rule.actions, names) for rule in rules)
                    frontends.append(
                        Frontend(proxy_name("l", listener.arn), balancer.dns_name, int(listener.port), routes)
                    )
        return Plan(tuple(frontends), backends, idle)

    def _servers(self, group: Any) -> list[Server]:
        """The group's targets; the unhealthy get requests only when there is no healthy one (as AWS fails open)."""
        states = {
            one: self._health.state(group, one, probed_only=True)[0]
            for one in [*group.targets, *targets.draining_targets(group)]
        }
        serving = [one for one, state in states.items() if state in ("healthy", "unavailable")]
        if not serving:
            serving = [one for one, state in states.items() if state == "unhealthy"]
        servers = []
        for target in [*group.targets.values(), *targets.draining_targets(group).values()]:
            if place := targets.target_address(group, target):
                servers.append(Server(target["Id"], *place, up=target["Id"] in serving))
        return servers

    def _update_states(self) -> None:
        """The state that DescribeLoadBalancers tells."""
        with self._cloud.lock:
            changed = False
            for _, _, backend in list(elbv2_backends.iter_backends()):
                for balancer in backend.load_balancers.values():
                    state = "failed" if self._problem and balancer.listeners else "active"
                    changed |= balancer.state != state
                    balancer.state, balancer.problem = state, self._problem
            if changed:
                self._cloud.store.save()


def install(cloud: Cloud) -> None:
    """Replace moto's methods by these. May be called again with another cloud."""

    def create_load_balancer(self: Any, *given: Any, **asked: Any) -> Any:
        """moto: a DNS name that leads nowhere; the same name again makes a second one."""
        name = asked.get("name") or given[0]
        for known in self.load_balancers.values():
            if known.name == name:
                return known  # with the same settings AWS answers with the existing one
        balancer = _create(self, *given, **asked)
        balancer.dns_name = cloud.addresses.allocate()
        return balancer

    def activate(self: Any) -> None:
        """moto: active as soon as somebody looks."""

    def state(self: Any) -> dict[str, str]:
        told = {"Code": self.state}
        return told | {"Reason": self.problem} if self.state == "failed" else told

    def create_listener(self: Any, *given: Any, **asked: Any) -> Any:
        """What the data plane does not speak is refused: it would be served in the clear."""
        if (protocol := asked.get("protocol")) != "HTTP":
            raise NotImplementedError(f"a listener for {protocol}: the local cloud's balancers speak HTTP only")
        return _listen(self, *given, **asked)

    ELBv2Backend.create_load_balancer, ELBv2Backend.create_listener = create_load_balancer, create_listener
    FakeLoadBalancer.activate = activate
    FakeLoadBalancer.load_balancer_state = property(state)


def resume(cloud: Cloud) -> None:
    """After a start: the former range may be somebody else's now."""
    for _, _, backend in list(elbv2_backends.iter_backends()):
        for balancer in backend.load_balancers.values():
            balancer.state = "provisioning"
            if not cloud.addresses.contains(balancer.dns_name):
                balancer.dns_name = cloud.addresses.allocate()


def proxy_name(kind: str, arn: str) -> str:
    return f"{kind}-" + re.sub(r"[^A-Za-z0-9_.-]", "-", arn.rpartition("targetgroup/")[2].rpartition("listener/")[2])


def parse_priority(priority: Any) -> int:
    return int(priority) if str(priority).isdigit() else 0
