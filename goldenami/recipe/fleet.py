"""The recipe's sections [fleet] and [promote]: the Auto Scaling group, its load balancer, and rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from goldenami.recipe.fields import AlarmName, Arn, Frozen, KeyName, Network, Section, SubnetId, Weight, Zone, field

if TYPE_CHECKING:
    from collections.abc import Sequence


class HealthCheck(Section):
    """The health check of the target group, at the path `[app] health`."""

    interval: int = field(
        10,
        description="Seconds between two health checks of an instance.",
        expected="a number of seconds from 5 to 300",
        example=10,
        ge=5,
        le=300,
    )
    timeout: int = field(
        4,
        description="Seconds to wait for the response; less than `interval`.",
        expected="a number of seconds from 2 to 120",
        example=4,
        ge=2,
        le=120,
    )
    healthy_threshold: int = field(
        2,
        description="Consecutive successful checks after which an instance is healthy.",
        expected="a number from 2 to 10",
        example=2,
        ge=2,
        le=10,
    )
    unhealthy_threshold: int = field(
        2,
        description="Consecutive failed checks after which an instance is unhealthy.",
        expected="a number from 2 to 10",
        example=2,
        ge=2,
        le=10,
    )


class Fleet(Section):
    """The Auto Scaling group that serves users, and its load balancer."""

    min: int = field(
        1,
        description="Minimum size of the Auto Scaling group.",
        expected="a number from 0 to 100",
        example=1,
        ge=0,
        le=100,
    )
    max: int = field(
        5,
        description="Maximum size of the group; a promotion launches new instances before it terminates old ones and needs"
        " the capacity.",
        expected="a number from 1 to 200",
        example=5,
        ge=1,
        le=200,
    )
    desired: int = field(
        1,
        description="Desired capacity when the fleet is created; later changes of the group's capacity are kept.",
        expected="a number from 0 to 100",
        example=1,
        ge=0,
        le=100,
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
    health_check_grace_period: int = field(
        300,
        description="Seconds after launch during which the group ignores failed health checks.",
        expected="a number of seconds from 10 to 7200",
        example=300,
        ge=10,
        le=7200,
    )
    instance_warmup: int = field(
        60,
        description="Warm-up of a new instance in seconds: an old instance is terminated only afterwards. Must be longer than"
        " the instance takes to become healthy; otherwise the promotion rolls back.",
        expected="a number of seconds from 10 to 3600",
        example=60,
        ge=10,
        le=3600,
    )
    load_balancer: bool = field(
        True, description="Create an Application Load Balancer for the fleet.", expected="true or false", example=True
    )
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
    deregistration_delay: int = field(
        30,
        description="Seconds that a draining instance has to finish its requests.",
        expected="a number of seconds from 0 to 3600",
        example=30,
        ge=0,
        le=3600,
    )
    run_command: bool = field(
        False,
        description="Allow Run Command on the instances, for `update`, `logs` and the health gate's check of the service's"
        " journal. Without it the instance role only allows reading the application's parameters and writing its"
        " logs.",
        expected="true or false",
        example=True,
    )
    health_check: HealthCheck = field(HealthCheck(), description="Health check of the load balancer.", example={})

    def zone_names(self, region: str) -> Sequence[str]:
        """Return the full names of the zones in a region: `ap-northeast-2a`."""
        return [f"{region}{letter}" for letter in self.zones]


class Promote(Section):
    """The rollout of a new image to the fleet."""

    canary: int = field(
        25,
        description="Percent of the instances that are replaced and monitored first; 0 or 100 replaces all at once.",
        expected="a number from 0 to 100",
        example=25,
        ge=0,
        le=100,
    )
    watch_seconds: int = field(
        300,
        description="Seconds that the canary, and later the whole fleet, is monitored.",
        expected="a number of seconds from 0 to 86400",
        example=300,
        ge=0,
        le=86400,
    )
    traffic: Annotated[tuple[Weight, ...], Frozen] = field(
        (),
        description="Traffic shift: weights in percent that a canary group with the new image receives, step by step, before"
        " the fleet's own instances are replaced; each step is monitored. Empty: the canary is part of the fleet."
        ' Needs `mode = "rds"` under `[database]`.',
        expected="a list of rising numbers from 1 to 100, the last one 100",
        example=[10, 50, 100],
    )
    max_errors: int = field(
        0,
        description="Maximum number of journal messages with priority `err` or higher that a new instance's service may log"
        " while it is monitored; checked if `run_command` is true.",
        expected="a number from 0 to 1000",
        example=0,
        ge=0,
        le=1000,
    )
    alarms: Annotated[tuple[AlarmName, ...], Frozen] = field(
        (),
        description="CloudWatch alarms that stop and roll back a promotion.",
        expected="a list of at most 10 alarm names",
        example=["guestbook-5xx"],
        max_length=10,
    )
