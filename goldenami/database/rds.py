"""The server elsewhere, made where it is missing: encrypted, private, backed up, protected; only the fleet gets in."""

from __future__ import annotations

from goldenami.aws import parameters, rds
from goldenami.context import Context
from goldenami.database import rds_plan
from goldenami.errors import GateError
from goldenami.infra import network
from goldenami.model import resources


def find_db_instance(ctx: Context) -> resources.DbInstance | None:
    """The server of this name, if it is there."""
    return rds.get(ctx.aws, ctx.names.database)


def ensure_db_instance(ctx: Context) -> str:
    """Make the server, or find it; returns its endpoint. Safe to repeat: one that was begun is waited for.

    Raises:
        GateError: One of this name is there that is not as safe as ours.
        AwsError: AWS refused, or it did not come up.
    """
    names, database = ctx.names, ctx.recipe.database
    place = network.find_network(ctx)
    security = network.ensure_database_security_group(ctx, place.vpc)
    if find_db_instance(ctx) is None:
        rds.ensure_subnets(ctx.aws, names.database, place.subnets, network.resource_tags(ctx))
        wanted = rds_plan.db_instance_request(ctx.recipe, names, security, ctx.target.kms_key_id)
        password = parameters.get_secret(ctx.aws, database.password_parameter)
        if rds.create(ctx.aws, wanted, password, network.resource_tags(ctx)):
            ctx.progress.info(
                f"making the DB instance {names.database} ({wanted['DBInstanceClass']}); about ten minutes"
            )
    with ctx.progress.phase(f"waiting for the DB instance {names.database}"):
        found = rds.wait_available(ctx.aws, ctx.clock, names.database)
    if found.public or not found.encrypted:
        raise GateError(
            f"the DB instance {names.database} is {'public' if found.public else 'not encrypted'}",
            state="It is left as it is.",
            next="make one that is private and encrypted by hand, and name it with --host",
        )
    return found.endpoint
