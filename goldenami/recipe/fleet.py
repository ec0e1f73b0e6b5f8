"""The recipe's sections [fleet] and [promote]: the Auto Scaling group, its load balancer, and rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from goldenami.recipe.fields import (
    AlarmName,
    Arn,
    Frozen,
    KeyName,
    Network,
    Section,
    SubnetId,
    Weight,
    Zone,
    field,
    flag,
    number,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class HealthCheck(Section):
    """The health check of the target group, at the path `[app] health`."""

    interval: int = number(10, 5, 300, "Seconds between two health checks of an instance.", unit="seconds")
    timeout: int = number(4, 2, 120, "Seconds to wait for the response; less than `interval`.", unit="seconds")
    healthy_threshold: int = number(2, 2, 10, "Consecutive successful checks after which an instance is healthy.")
    unhealthy_threshold: int = number(2, 2, 10, "Consecutive failed checks after which an instance is unhealthy.")


class Fleet(Section):
    """The Auto Scaling group that serves users, and its load balancer."""

    min: int = number(1, 0, 100, "Minimum size of the Auto Scaling group.")
    max: int = number(
        5,
        1,
        200,
        "Maximum size of the group; a promotion launches new instances before it terminates old ones and needs"
        " the capacity.",
    )
    desired: int = number(
        1, 0, 100, "Desired capacity when the fleet is created; later changes of the group's capacity are kept."
    )
    zones: Annotated[tuple[Zone, ...], Frozen] = field(
        ("a", "c"),
        description="Availability Zones, by their letter; a load balancer needs two.",
        expected='a list of zone letters such as ["a", "c"]',
        example=["a", "c"],
        min_length=1,
    )
    subnet_ids: Annotated[tuple[SubnetId, ...], Frozen] = field(
        (),
        description="Your own subnets, one per zone; empty means those of the default VPC in `zones`.",
        expected="a list of subnet ids such as subnet-0123456789abcdef0",
        example=["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"],
    )
    health_check_grace_period: int = number(
        300, 10, 7200, "Seconds after launch during which the group ignores failed health checks.", unit="seconds"
    )
    instance_warmup: int = number(
        60,
        10,
        3600,
        "Warm-up of a new instance in seconds: an old instance is terminated only afterwards. Must be longer than"
        " the instance takes to become healthy; otherwise the promotion rolls back.",
        unit="seconds",
    )
    load_balancer: bool = flag(True, "Create an Application Load Balancer for the fleet.")
    certificate_arn: Arn = field(
        "",
        description="ACM certificate of the load balancer: serves HTTPS and redirects HTTP to it; empty means HTTP only.",
        expected="the ARN of a certificate",
        example="arn:aws:acm:ap-northeast-2:123456789012:certificate/12345678-1234-1234-1234-123456789012",
    )
    client_cidrs: Annotated[tuple[Network, ...], Frozen] = field(
        ("0.0.0.0/0",),
        description="Networks that may reach the load balancer, or the instances if there is none.",
        expected="a list of networks such as 203.0.113.0/24",
        example=["203.0.113.0/24"],
    )
    key_name: KeyName = field(
        "",
        description="EC2 key pair for SSH from the target's `ssh_cidrs`; empty leaves port 22 closed.",
        expected="the name of a key pair",
        example="your-key",
    )
    deregistration_delay: int = number(
        30, 0, 3600, "Seconds that a draining instance has to finish its requests.", unit="seconds"
    )
    run_command: bool = flag(
        False,
        "Allow Run Command on the instances, for `update`, `logs` and the health gate's check of the service's"
        " journal. Without it the instance role only allows reading the application's parameters and writing its"
        " logs.",
    )
    health_check: HealthCheck = field(HealthCheck(), description="Health check of the load balancer.", example={})

    def zone_names(self, region: str) -> Sequence[str]:
        """Return the full names of the zones in a region: `ap-northeast-2a`."""
        return [f"{region}{letter}" for letter in self.zones]


class Promote(Section):
    """The rollout of a new image to the fleet."""

    canary: int = number(
        25, 0, 100, "Percent of the instances that are replaced and monitored first; 0 or 100 replaces all at once."
    )
    watch_seconds: int = number(
        300, 0, 86400, "Seconds that the canary, and later the whole fleet, is monitored.", unit="seconds"
    )
    traffic: Annotated[tuple[Weight, ...], Frozen] = field(
        (),
        description="Traffic shift: weights in percent that a canary group with the new image receives, step by step, before"
        " the fleet's own instances are replaced; each step is monitored. Empty: the canary is part of the fleet."
        ' Needs `mode = "rds"` under `[database]`.',
        expected="a list of rising numbers from 1 to 100, the last one 100",
        example=[10, 50, 100],
    )
    max_errors: int = number(
        0,
        0,
        1000,
        "Maximum number of journal messages with priority `err` or higher that a new instance's service may log"
        " while it is monitored; checked if `run_command` is true.",
    )
    alarms: Annotated[tuple[AlarmName, ...], Frozen] = field(
        (),
        description="CloudWatch alarms that stop and roll back a promotion.",
        expected="a list of at most 10 alarm names",
        example=["guestbook-5xx"],
        max_length=10,
    )
