"""The fleet's network: VPC, subnets and security groups, created or updated from the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from goldenami.aws import security_groups, vpc as aws_vpc
from goldenami.aws.security_groups import IngressRule
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.infra import launch_template_plan
from goldenami.recipe.targets import Target
from goldenami.tools import http


@dataclass(frozen=True)
class Network:
    """VPC and subnets of the fleet, by id."""

    vpc: str
    subnets: tuple[str, ...]


def find_network(ctx: Context) -> Network:
    """Return the network that the recipe names, or the default VPC; raise AwsError if a zone has no default subnet."""
    fleet = ctx.recipe.fleet
    if fleet.subnet_ids:
        return Network(find_vpc(ctx), tuple(fleet.subnet_ids))
    zones = fleet.zone_names(ctx.aws.region)
    subnets = aws_vpc.default_subnets(ctx.aws, zones)
    if len(subnets) < len(zones):
        raise AwsError(
            f"the default VPC of {ctx.aws.region} has no subnet in each of {', '.join(zones)}",
            state="No changes were made.",
            next="set zones or subnet_ids under [fleet] in golden.toml",
        )
    return Network(subnets[0][1], tuple(subnet for subnet, _ in subnets))


def find_vpc(ctx: Context) -> str:
    """Return the id of the VPC that the recipe names, or of the default VPC."""
    subnets = ctx.recipe.fleet.subnet_ids
    return aws_vpc.subnet_vpc(ctx.aws, subnets[0] if subnets else None)


def resource_tags(ctx: Context) -> dict[str, str]:
    """Return the tags of all resources of the fleet."""
    return {**ctx.recipe.tags, launch_template_plan.FLEET_TAG: ctx.name, "Environment": ctx.recipe.image.environment}


def ensure_security_groups(ctx: Context, network: Network) -> tuple[str, str]:
    """Create or update the security groups; return those of the instances and the load balancer (empty without one)."""
    fleet, names, port = ctx.recipe.fleet, ctx.names, ctx.recipe.app.port
    load_balancer_group = ""
    sources: Sequence[str] = fleet.client_cidrs
    if fleet.load_balancer:
        ports = (80, 443) if fleet.certificate_arn else (80,)
        rules = [IngressRule(number, cidr) for number in ports for cidr in fleet.client_cidrs]
        name = names.load_balancer_security_group
        load_balancer_group = _ensure(ctx, name, network.vpc, f"goldenami {names.load_balancer}: clients", rules)
        # A promotion also probes each instance directly.
        sources = [load_balancer_group, *allowed_networks(ctx.target)]
    rules = [IngressRule(port, source) for source in sources]
    if fleet.key_name:
        rules += [IngressRule(22, cidr) for cidr in allowed_networks(ctx.target)]
    instance_group = _ensure(ctx, names.web, network.vpc, f"goldenami {names.web}: instances", rules)
    if security_groups.find(ctx.aws, names.database, network.vpc) is not None:
        ensure_database_security_group(ctx, network.vpc)
    return instance_group, load_balancer_group


def ensure_database_security_group(ctx: Context, vpc: str, *, closed: bool = False) -> str:
    """Create or update the DB instance's security group, and return its id.

    It allows access from the fleet's instances only; from nothing if `closed`, while the fleet is being destroyed.
    """
    names = ctx.names
    instance_group = None if closed else security_groups.find(ctx.aws, names.web, vpc)
    rules = [IngressRule(ctx.recipe.database.port, instance_group)] if instance_group else []
    return _ensure(ctx, names.database, vpc, f"goldenami {names.database}: the database", rules)


def _ensure(ctx: Context, name: str, vpc: str, description: str, rules: Iterable[IngressRule]) -> str:
    tags = {**resource_tags(ctx), "Name": name}
    return security_groups.ensure(ctx.aws, ctx.clock, name, vpc, rules, tags, description)


def allowed_networks(target: Target) -> Sequence[str]:
    """Return the networks (CIDR) that may access instances directly: the recipe's, or the address of this machine."""
    if target.ssh_cidrs:
        return target.ssh_cidrs
    address = http.public_address()
    return [f"{address}/{128 if ':' in address else 32}"]
