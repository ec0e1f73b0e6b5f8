"""Load balancers with their own addresses, health checks of their targets, and HAProxy as the data plane."""

from __future__ import annotations

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer

from localcloud.core.cloud import TERMINATED_STATES, Cloud, list_load_balancers
from localcloud.core.overrides import replace_methods
from localcloud.elbv2 import health_checks, targets
from localcloud.elbv2.haproxy import HAProxy
from localcloud.elbv2.haproxy_config import Frontend, Plan, Server, build_route
from localcloud.elbv2.target_health import TargetHealthStore
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
        """Complete drained targets, start health checks that are due, and update the data plane."""
        now = time.time()
        with self._cloud.lock:
            if self._drain(now):
                self._cloud.store.save()
            plan = self._plan()
            groups = targets.list_target_groups()
            routed = [(group, plan.backends.get(proxy_name("tg", group.arn), ())) for group in groups]
            draining = {(group.arn, target) for group in groups for target in targets.draining_targets(group)}
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
        serving = {(group.arn, server.target) for group, servers in routed for server in servers if server.up}
        self._health.set_routing(serving, draining, works=not self._problem)
        self._update_states()

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._proxy.stop()

    def _probe(self, group: Any, target_id: str, probe: health_checks.Probe) -> None:
        self._health.record(group, target_id, *health_checks.run_probe(probe))

    def _drain(self, now: float) -> bool:
        """Remove drained targets, and drain targets whose instance is terminated. Return True if anything changed."""
        registered, changed = set(), False
        for group in targets.list_target_groups():
            for target_id in list(group.targets):
                instance = group.ec2_backend.get_instance_by_id(target_id)
                if target_id.startswith("i-") and (instance is None or instance.state in TERMINATED_STATES):
                    targets.drain(group, target_id)
                    changed = True
            drained = [one for one in targets.draining_targets(group) if self._health.is_drained(group, one, now)]
            for target_id in drained:
                del targets.draining_targets(group)[target_id]
                changed = True
            registered |= {(group.arn, target_id) for target_id in group.targets}
        self._health.retain(registered)
        return changed

    def _plan(self) -> Plan:
        frontends, backends = [], {}
        for group in targets.list_target_groups():
            if targets.is_in_use(group):
                backends[proxy_name("tg", group.arn)] = tuple(self._servers(group))
        names = {group.arn: proxy_name("tg", group.arn) for group in targets.list_target_groups()}
        idle = 60
        for balancer in list_load_balancers():
            idle = int(balancer.attrs.get("idle_timeout.timeout_seconds", idle))
            for listener in balancer.listeners.values():
                rules = sorted(listener.rules.values(), key=lambda r: (r.is_default, parse_priority(r.priority)))
                routes = tuple(build_route(rule.conditions, rule.actions, names) for rule in rules)
                name = proxy_name("l", listener.arn)
                frontends.append(Frontend(name, balancer.dns_name, int(listener.port), routes))
        return Plan(tuple(frontends), backends, idle)

    def _servers(self, group: Any) -> list[Server]:
        """Return the group's targets. Unhealthy ones receive requests only if no target is healthy (fail open)."""
        ids = [*group.targets, *targets.draining_targets(group)]
        states = {each: self._health.state(group, each, probed_only=True)[0] for each in ids}
        serving = [target_id for target_id, state in states.items() if state in ("healthy", "unavailable")]
        if not serving:
            serving = [target_id for target_id, state in states.items() if state == "unhealthy"]
        servers = []
        for target in [*group.targets.values(), *targets.draining_targets(group).values()]:
            if address := targets.target_address(group, target):
                servers.append(Server(target["Id"], *address, up=target["Id"] in serving))
        return servers

    def _update_states(self) -> None:
        """Update the states that DescribeLoadBalancers returns."""
        with self._cloud.lock:
            changed = False
            for balancer in list_load_balancers():
                state = "failed" if self._problem and balancer.listeners else "active"
                changed |= balancer.state != state
                balancer.state, balancer.problem = state, self._problem
            if changed:
                self._cloud.store.save()


def install(cloud: Cloud) -> None:
    """Replace moto's methods."""

    def create_load_balancer(self: Any, *args: Any, **kwargs: Any) -> Any:
        """moto invents a DNS name, and creates a second load balancer of the same name; AWS returns the existing one.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html"""
        name = kwargs.get("name") or args[0]
        for balancer in self.load_balancers.values():
            if balancer.name == name:
                return balancer
        balancer = _create(self, *args, **kwargs)
        balancer.dns_name = cloud.addresses.allocate()
        return balancer

    def activate(self: Any) -> None:
        """moto activates a load balancer when it is described."""

    def load_balancer_state(self: Any) -> dict[str, str]:
        """https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerState.html"""
        state = {"Code": self.state}
        return state | {"Reason": self.problem} if self.state == "failed" else state

    def create_listener(self: Any, *args: Any, **kwargs: Any) -> Any:
        """moto accepts protocols that the data plane lacks.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html"""
        if (protocol := kwargs.get("protocol")) != "HTTP":
            raise NotImplementedError(f"a listener for {protocol}: the local cloud's load balancers support HTTP only")
        return _listen(self, *args, **kwargs)

    replace_methods(ELBv2Backend, create_load_balancer, create_listener)
    replace_methods(FakeLoadBalancer, activate)
    FakeLoadBalancer.load_balancer_state = property(load_balancer_state)


def resume(cloud: Cloud) -> None:
    """Allocate new addresses after a restart, if the cloud has another range now."""
    for balancer in list_load_balancers():
        balancer.state = "provisioning"
        if not cloud.addresses.contains(balancer.dns_name):
            balancer.dns_name = cloud.addresses.allocate()


def proxy_name(kind: str, arn: str) -> str:
    """Return HAProxy's name of a target group or listener."""
    return f"{kind}-" + re.sub(r"[^A-Za-z0-9_.-]", "-", arn.rpartition("targetgroup/")[2].rpartition("listener/")[2])


def parse_priority(priority: Any) -> int:
    return int(priority) if str(priority).isdigit() else 0
