"""The server elsewhere, made where it is missing: encrypted, private, backed up, protected; only the fleet gets in."""

from __future__ import annotations

from goldenami.aws import parameters, rds
from goldenami.context import Context
from goldenami.database import rds_plan
from goldenami.errors import GateError
from goldenami.infra import network
from goldenami.model import resources


def find_db_instance(shop: Context) -> resources.DbInstance | None:
    """The server of this name, if it is there."""
    return rds.get(shop.aws, shop.names.data)


def ensure_db_instance(shop: Context) -> str:
    """Make the server, or find it; returns its endpoint. Safe to repeat: one that was begun is waited for.

    Raises:
        GateError: One of this name is there that is not as safe as ours.
        AwsError: AWS refused, or it did not come up.
    """
    names, database = shop.names, shop.recipe.database
    place = network.find_network(shop)
    security = network.ensure_database_security_group(shop, place.vpc)
    if find_db_instance(shop) is None:
        rds.ensure_subnets(shop.aws, names.data, place.subnets, network.resource_tags(shop))
        wanted = rds_plan.db_instance_request(shop.recipe, names, security, shop.target.kms_key_id)
        password = parameters.secret(shop.aws, database.password_parameter)
        if rds.create(shop.aws, wanted, password, network.resource_tags(shop)):
            shop.progress.say(f"making the DB instance {names.data} ({wanted['DBInstanceClass']}); about ten minutes")
    with shop.progress.phase(f"waiting for the DB instance {names.data}"):
        found = rds.wait_available(shop.aws, shop.clock, names.data)
    if found.public or not found.encrypted:
        raise GateError(
            f"the DB instance {names.data} is {'public' if found.public else 'not encrypted'}",
            state="It is left as it is.",
            next="make one that is private and encrypted by hand, and name it with --host",
        )
    return found.endpoint
