"""The server elsewhere, made where it is missing: encrypted, private, backed up, protected; only the fleet gets in."""

from __future__ import annotations

from goldenami.aws import parameters
from goldenami.aws import rds as databases
from goldenami.context import Shop
from goldenami.errors import GateError
from goldenami.infra import network as ground
from goldenami.model import resources as values


def find(shop: Shop) -> values.Server | None:
    """The server of this name, if it is there."""
    return databases.get(shop.aws, shop.names.data)


def ensure(shop: Shop) -> str:
    """Make the server, or find it; returns its endpoint. Safe to repeat: one that was begun is waited for.

    Raises:
        GateError: One of this name is there that is not as safe as ours.
        AwsError: AWS refused, or it did not come up.
    """
    names, database = shop.names, shop.recipe.database
    place = ground.find(shop)
    security = ground.ensure_data_firewall(shop, place.vpc)
    if find(shop) is None:
        databases.ensure_subnets(shop.aws, names.data, place.subnets, ground.tags(shop))
        wanted = values.request(shop.recipe, names, security, shop.target.kms_key_id)
        password = parameters.secret(shop.aws, database.password_parameter)
        if databases.create(shop.aws, wanted, password, ground.tags(shop)):
            shop.progress.say(f"making the DB instance {names.data} ({wanted['DBInstanceClass']}); about ten minutes")
    with shop.progress.phase(f"waiting for the DB instance {names.data}"):
        found = databases.wait_available(shop.aws, shop.clock, names.data)
    if found.public or not found.encrypted:
        raise GateError(
            f"the DB instance {names.data} is {'public' if found.public else 'not encrypted'}",
            state="It is left as it is.",
            next="make one that is private and encrypted by hand, and name it with --host",
        )
    return found.endpoint
