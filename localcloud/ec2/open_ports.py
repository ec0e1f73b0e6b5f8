"""The TCP ports of a machine that its security groups open.
https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html"""

from __future__ import annotations

from typing import Any

# Of rules for all traffic or for more than MAX_RANGE ports, only these are forwarded, because each forwarded port
# needs a listening socket on the host.
COMMON_PORTS = frozenset({22, 80, 443, 3000, 5000, 5432, 8000, 8080, 8443, 9090})
MAX_RANGE = 64


def desired_ports(instance: Any) -> frozenset[int]:
    """Return the ports that the instance's security groups open. Source addresses are ignored, as all clients connect from
    loopback. A rule with the group itself as its source (as in the default group) opens no port."""
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
                allowed = range(first, last + 1)
                ports |= set(allowed) if len(allowed) <= MAX_RANGE else COMMON_PORTS.intersection(allowed)
    return frozenset(ports)
