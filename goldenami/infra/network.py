"""The ground that the fleet stands on: its subnets, its security groups, its role; made where missing, from the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldenami.aws import security_groups
from goldenami.aws import vpc as aws_vpc
from goldenami.aws.security_groups import IngressRule
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.infra import launch_template_plan
from goldenami.recipe.targets import Target
from goldenami.tools import http


@dataclass(frozen=True)
class Network:
    """The network that the fleet stands in."""

    vpc: str
    subnets: tuple[str, ...]


def find_network(ctx: Context) -> Network:
    """The network that the recipe puts the fleet in.

    Raises:
        AwsError: A zone has no default subnet.
    """
    fleet = ctx.recipe.fleet
    if fleet.subnet_ids:
        return Network(find_vpc(ctx), tuple(fleet.subnet_ids))
    zones = fleet.zone_names(ctx.aws.region)
    found = aws_vpc.default_subnets(ctx.aws, zones)
    if len(found) < len(zones):
        raise AwsError(
            f"the default VPC of {ctx.aws.region} has no subnet in each of {', '.join(zones)}",
            state="Nothing was changed.",
            next="set zones or subnet_ids under [fleet] in golden.toml",
        )
    return Network(found[0][1], tuple(subnet for subnet, _ in found))


def find_vpc(ctx: Context) -> str:
    """The VPC that the recipe means."""
    given = ctx.recipe.fleet.subnet_ids
    return aws_vpc.subnet_vpc(ctx.aws, given[0] if given else None)


def resource_tags(ctx: Context) -> dict[str, str]:
    """What every part of the fleet is tagged with."""
    return {**ctx.recipe.tags, launch_template_plan.FLEET_TAG: ctx.name, "Environment": ctx.recipe.image.environment}


def ensure_security_groups(ctx: Context, place: Network) -> tuple[str, str]:
    """The instances' security group, and the balancer's (empty without one)."""
    fleet, names, port = ctx.recipe.fleet, ctx.names, ctx.recipe.app.port
    entry = ""
    sources: Sequence[str] = fleet.client_cidrs
    if fleet.load_balancer:
        ports = (80, 443) if fleet.certificate_arn else (80,)
        rules = [IngressRule(number, network) for number in ports for network in fleet.client_cidrs]
        entry = security_groups.ensure(
            ctx.aws,
            names.load_balancer_security_group,
            place.vpc,
            f"goldenami {names.load_balancer}: clients",
            rules,
            {**resource_tags(ctx), "Name": names.load_balancer_security_group},
        )
        # Besides the balancer, the operators' networks: a promotion probes each instance itself.
        sources = [entry, *allowed_networks(ctx.target)]
    wanted = [IngressRule(port, source) for source in sources]
    if fleet.key_name:
        wanted += [IngressRule(22, network) for network in allowed_networks(ctx.target)]
    security = security_groups.ensure(
        ctx.aws,
        names.web,
        place.vpc,
        f"goldenami {names.web}: instances",
        wanted,
        {**resource_tags(ctx), "Name": names.web},
    )
    if security_groups.find(ctx.aws, names.database, place.vpc) is not None:
        ensure_database_security_group(ctx, place.vpc)
    return security, entry


def ensure_database_security_group(ctx: Context, vpc: str, *, closed: bool = False) -> str:
    """The database server's security group, which lets exactly the fleet's instances in; nobody while the fleet is taken down."""
    names = ctx.names
    web = None if closed else security_groups.find(ctx.aws, names.web, vpc)
    wanted = [IngressRule(ctx.recipe.database.port, web)] if web else []
    why = f"goldenami {names.database}: the database"
    return security_groups.ensure(
        ctx.aws, names.database, vpc, why, wanted, {**resource_tags(ctx), "Name": names.database}
    )


def allowed_networks(target: Target) -> Sequence[str]:
    """The networks that may reach our machines: the recipe's, else this machine alone."""
    if target.ssh_cidrs:
        return target.ssh_cidrs
    address = http.public_address()
    return [f"{address}/{128 if ':' in address else 32}"]
