"""The DB instance of the fleet: encrypted, private, backed up, protected from deletion, and open to the fleet only."""

from __future__ import annotations

from goldenami.aws import parameters, rds
from goldenami.context import Context
from goldenami.database import rds_plan
from goldenami.errors import GateError
from goldenami.infra.network import ensure_database_security_group, find_network, resource_tags
from goldenami.model import resources


def find_db_instance(ctx: Context) -> resources.DbInstance | None:
    """Return the fleet's DB instance; None if there is none."""
    return rds.get(ctx.aws, ctx.names.database)


def ensure_db_instance(ctx: Context) -> str:
    """Create the DB instance if it does not exist, wait until it is available, and return its endpoint. Idempotent.

    Raises:
        GateError: The existing DB instance is public or not encrypted.
    """
    names, database = ctx.names, ctx.recipe.database
    network, tags = find_network(ctx), resource_tags(ctx)
    security_group = ensure_database_security_group(ctx, network.vpc)
    if find_db_instance(ctx) is None:
        rds.ensure_subnets(ctx.aws, names.database, network.subnets, tags)
        request = rds_plan.db_instance_request(ctx.recipe, names, security_group, ctx.target.kms_key_id)
        password = parameters.get_secret(ctx.aws, database.password_parameter)
        if rds.create(ctx.aws, request, password, tags):
            kind = request["DBInstanceClass"]
            ctx.progress.info(f"creating the DB instance {names.database} ({kind}); about ten minutes")
    with ctx.progress.phase(f"waiting for the DB instance {names.database}"):
        db_instance = rds.wait_available(ctx.aws, ctx.clock, names.database)
    if db_instance.public or not db_instance.encrypted:
        raise GateError(
            f"the DB instance {names.database} is {'public' if db_instance.public else 'not encrypted'}",
            state="It was not changed.",
            next="create a private, encrypted one by hand, and name it with --host",
        )
    return db_instance.endpoint
