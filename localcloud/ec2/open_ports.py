"""Which TCP ports of a machine are reachable: what its security groups let in."""

from __future__ import annotations

from typing import Any

# Of rules for all traffic or for more than WIDE ports, only these are forwarded: each forwarded port is a
# listening socket on the host.
COMMON_PORTS = frozenset({22, 80, 443, 3000, 5000, 5432, 8000, 8080, 8443, 9090})
MAX_RANGE = 64


def desired_ports(instance: Any) -> frozenset[int]:
    """The ports that the instance's groups open from outside.

    Sources are not compared: everybody here calls from loopback. A rule whose only source is the group itself
    (the default group's) lets nobody in from outside.
    """
    groups = {group.id: group for group in instance.security_groups}
    for nic in instance.nics.values():
        groups.update({group.id: group for group in nic.group_set})
    ports: set[int] = set()
    for group in groups.values():
        for rule in group.ingress_rules:
            if (rule.source_group or {}).get("GroupId") == group.id:
                continue
            if rule.ip_protocol == "-1":
                ports |= COMMON_PORTS
            elif rule.ip_protocol == "tcp":
                first, last = max(1, int(rule.from_port)), min(65535, int(rule.to_port))
                asked = range(first, last + 1)
                ports |= set(asked) if len(asked) <= MAX_RANGE else {port for port in COMMON_PORTS if port in asked}
    return frozenset(ports)
