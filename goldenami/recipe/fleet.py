"""The sections of the recipe about the fleet: how many instances serve, where, behind what; and how they are renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from goldenami.recipe.fields import AlarmName, Arn, Frozen, KeyName, Network, Section, SubnetId, Weight, Zone, field

if TYPE_CHECKING:
    from collections.abc import Sequence


class Health(Section):
    """How the balancer probes an instance, at `[app] health`."""

    interval: int = field(
        10,
        description="Seconds between two probes of the balancer.",
        expected="a number of seconds from 5 to 300",
        example=10,
        ge=5,
        le=300,
    )
    timeout: int = field(
        4,
        description="Seconds that a probe waits for its answer; less than `interval`.",
        expected="a number of seconds from 2 to 120",
        example=4,
        ge=2,
        le=120,
    )
    healthy: int = field(
        2,
        description="Good answers in a row that make an instance healthy.",
        expected="a number from 2 to 10",
        example=2,
        ge=2,
        le=10,
    )
    unhealthy: int = field(
        2,
        description="Bad answers in a row that make it unhealthy.",
        expected="a number from 2 to 10",
        example=2,
        ge=2,
        le=10,
    )


class Fleet(Section):
    """The Auto Scaling group that serves users, and its balancer."""

    min: int = field(1, description="The fewest instances.", expected="a number from 0 to 100", example=1, ge=0, le=100)
    max: int = field(
        5,
        description="The most instances; a promotion launches before it terminates, so leave room.",
        expected="a number from 1 to 200",
        example=5,
        ge=1,
        le=200,
    )
    desired: int = field(
        1,
        description="Instances when the fleet is made; afterwards the group's own number stays.",
        expected="a number from 0 to 100",
        example=1,
        ge=0,
        le=100,
    )
    zones: Annotated[tuple[Zone, ...], Frozen] = field(
        ("a", "c"),
        description="Availability zones, by their letter; a balancer needs two.",
        expected='a list of zone letters such as ["a", "c"]',
        example=["a", "c"],
        min_length=1,
    )
    subnet_ids: Annotated[tuple[SubnetId, ...], Frozen] = field(
        (),
        description="Subnets of your own, one a zone; empty takes the default VPC's in `zones`.",
        expected="a list of subnet ids such as subnet-0123456789abcdef0",
        example=["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"],
    )
    health_check_grace_period: int = field(
        300,
        description="Seconds that a new instance has to become healthy before the group gives it up.",
        expected="a number of seconds from 10 to 7200",
        example=300,
        ge=10,
        le=7200,
    )
    warmup: int = field(
        60,
        description="Seconds that a new instance is in service before it counts and an old one may go: longer than it takes to"
        " become healthy, or a promotion turns back.",
        expected="a number of seconds from 10 to 3600",
        example=60,
        ge=10,
        le=3600,
    )
    load_balancer: bool = field(
        True,
        description="Whether an Application Load Balancer stands before the fleet.",
        expected="true or false",
        example=True,
    )
    certificate_arn: Arn = field(
        "",
        description="The ACM certificate of the balancer: serves HTTPS and redirects HTTP to it; empty serves HTTP.",
        expected="the ARN of a certificate",
        example="arn:aws:acm:ap-northeast-2:123456789012:certificate/12345678-1234-1234-1234-123456789012",
    )
    client_cidrs: Annotated[tuple[Network, ...], Frozen] = field(
        ("0.0.0.0/0",),
        description="Networks that may reach the service: the balancer, or the instances where there is none.",
        expected="a list of networks such as 203.0.113.0/24",
        example=["203.0.113.0/24"],
    )
    key_name: KeyName = field(
        "",
        description="An EC2 key pair for SSH from the target's `ssh_cidrs`; empty leaves port 22 closed.",
        expected="the name of a key pair",
        example="your-key",
    )
    deregistration_delay: int = field(
        30,
        description="Seconds that an instance which leaves the balancer may finish its requests.",
        expected="a number of seconds from 0 to 3600",
        example=30,
        ge=0,
        le=3600,
    )
    run_command: bool = field(
        False,
        description="Whether the instances' role also lets the SSM agent in, for `update`, `logs` and the gate on the service's"
        " journal. Without it the role has the application's parameters and its logs, nothing else.",
        expected="true or false",
        example=True,
    )
    health: Health = field(Health(), description="How the balancer probes an instance.", example={})

    def zone_names(self, region: str) -> Sequence[str]:
        """The zones' full names in a region: `ap-northeast-2a`."""
        return [f"{region}{letter}" for letter in self.zones]


class Promote(Section):
    """How a new image is carried to the fleet."""

    canary: int = field(
        25,
        description="Percent of the instances that are renewed first and watched; 0 or 100 renews all at once.",
        expected="a number from 0 to 100",
        example=25,
        ge=0,
        le=100,
    )
    watch_seconds: int = field(
        300,
        description="Seconds that the canary, and then the renewed fleet, is watched.",
        expected="a number of seconds from 0 to 86400",
        example=300,
        ge=0,
        le=86400,
    )
    traffic: Annotated[tuple[Weight, ...], Frozen] = field(
        (),
        description="Percent of the requests that a second set of instances, with the new image, takes step by step before the"
        " fleet's own are renewed; each step is watched. Empty: no such set, the canary is a part of the fleet. Needs data"
        ' outside the instances ([database] mode = "rds").',
        expected="a list of rising numbers from 1 to 100, the last one 100",
        example=[10, 50, 100],
    )
    errors: int = field(
        0,
        description="Errors (lines at journald's level `err` or worse) that the service of a new instance may log while it is"
        " watched; looked at where `run_command` lets the agent in.",
        expected="a number from 0 to 1000",
        example=0,
        ge=0,
        le=1000,
    )
    alarms: Annotated[tuple[AlarmName, ...], Frozen] = field(
        (),
        description="CloudWatch alarms that end and roll back a promotion when one goes off.",
        expected="a list of at most 10 names of alarms",
        example=["guestbook-5xx"],
        max_length=10,
    )
