"""The ground that the fleet stands on: its subnets, its security groups, its role; made where missing, from the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldenami.aws import firewalls
from goldenami.aws import iam_roles as roles
from goldenami.aws import security_groups as networks
from goldenami.aws.firewalls import Rule
from goldenami.bake import environment as access
from goldenami.context import Shop
from goldenami.database.backup_model import bucket_name
from goldenami.errors import AwsError
from goldenami.infra import launch_template_plan as data


@dataclass(frozen=True)
class Ground:
    """The network that the fleet stands in."""

    vpc: str
    subnets: tuple[str, ...]


def find(shop: Shop) -> Ground:
    """The network that the recipe puts the fleet in.

    Raises:
        AwsError: A zone has no default subnet.
    """
    fleet = shop.recipe.fleet
    if fleet.subnet_ids:
        return Ground(vpc(shop), tuple(fleet.subnet_ids))
    zones = fleet.zone_names(shop.aws.region)
    found = firewalls.subnets(shop.aws, zones)
    if len(found) < len(zones):
        raise AwsError(
            f"the default VPC of {shop.aws.region} has no subnet in each of {', '.join(zones)}",
            state="Nothing was changed.",
            next="set zones or subnet_ids under [fleet] in golden.toml",
        )
    return Ground(found[0][1], tuple(subnet for subnet, _ in found))


def vpc(shop: Shop) -> str:
    """The VPC that the recipe means."""
    given = shop.recipe.fleet.subnet_ids
    return networks.vpc_of(shop.aws, given[0] if given else None)


def tags(shop: Shop) -> dict[str, str]:
    """What every part of the fleet is tagged with."""
    return {**shop.recipe.tags, data.FLEET: shop.name, "Environment": shop.recipe.image.environment}


def ensure_role(shop: Shop) -> None:
    """The instances' role and profile, with the least that they need."""
    account, _ = roles.caller(shop.aws)
    names = [p.name for p in shop.recipe.parameters]
    # Without Run Command nobody could ask an instance for a backup.
    run_command = shop.recipe.fleet.run_command
    bucket = bucket_name(shop.recipe, account, shop.aws.region) if run_command else ""
    volume = shop.recipe.database.on_volume
    wanted = roles.fleet_policy(
        shop.aws.region,
        account,
        shop.name,
        names,
        run_command=run_command,
        bucket=bucket,
        volume=volume,
        key=shop.target.kms_key_id if volume else "",
    )
    roles.ensure(shop.aws, shop.names.web, wanted, "goldenami: instances that serve read their parameters")


def ensure_firewalls(shop: Shop, place: Ground) -> tuple[str, str]:
    """The instances' security group, and the balancer's (empty without one)."""
    fleet, names, port = shop.recipe.fleet, shop.names, shop.recipe.app.port
    entry = ""
    sources: Sequence[str] = fleet.client_cidrs
    if fleet.balancer:
        ports = (80, 443) if fleet.certificate_arn else (80,)
        rules = [Rule(number, network) for number in ports for network in fleet.client_cidrs]
        entry = firewalls.ensure(
            shop.aws,
            names.balancer_security,
            place.vpc,
            f"goldenami {names.balancer}: clients",
            rules,
            {**tags(shop), "Name": names.balancer_security},
        )
        # Besides the balancer, the operators' networks: a promotion probes each instance itself.
        sources = [entry, *access.allowed_networks(shop.target)]
    wanted = [Rule(port, source) for source in sources]
    if fleet.key_name:
        wanted += [Rule(22, network) for network in access.allowed_networks(shop.target)]
    security = firewalls.ensure(
        shop.aws, names.web, place.vpc, f"goldenami {names.web}: instances", wanted, {**tags(shop), "Name": names.web}
    )
    if firewalls.find(shop.aws, names.data, place.vpc) is not None:
        ensure_data_firewall(shop, place.vpc)
    return security, entry


def ensure_data_firewall(shop: Shop, vpc: str, *, shut: bool = False) -> str:
    """The database server's security group, which lets exactly the fleet's instances in; nobody while the fleet is taken down."""
    names = shop.names
    web = None if shut else firewalls.find(shop.aws, names.web, vpc)
    wanted = [Rule(shop.recipe.database.port, web)] if web else []
    why = f"goldenami {names.data}: the database"
    return firewalls.ensure(shop.aws, names.data, vpc, why, wanted, {**tags(shop), "Name": names.data})
