"""Calculate the monthly cost of the recipe's fleet, with and without Docker, and the cost of past operations."""

from __future__ import annotations

from goldenami.aws import price_list
from goldenami.aws.errors import explain
from goldenami.context import Context
from goldenami.cost.plan import Cost, compare, next_size, operations
from goldenami.database import rds
from goldenami.errors import UsageError
from goldenami.model import prices
from goldenami.model.prices import Prices
from goldenami.model.resources import DbInstance
from goldenami.state import runs


def calculate(ctx: Context) -> Cost:
    """Return the cost of the fleet and of past operations.

    Raises:
        UsageError: The price of an instance type, or of the region, is unknown.
    """
    instance_type, builder_type = ctx.recipe.instance.type, ctx.recipe.instance_type(ctx.target)
    types = {instance_type, next_size(instance_type), builder_type}
    server, unseen = _db_instance(ctx)
    current, source = _prices(ctx, types, {server.instance_class} if server else set())
    comparison = compare(ctx.recipe, current, server) if current else None
    if current is None or comparison is None:
        raise UsageError(
            f"the price of {' and '.join(sorted(types))} in {ctx.aws.region} is unknown: {source}",
            next="credentials that allow pricing:GetProducts (./invoke iam.policy cost)",
        )
    records = [run.facts() for run in runs.list_runs(ctx.build)]
    past = tuple(operations(records, ctx.recipe, current, builder_type))
    return Cost(ctx.aws.region, source, comparison, past, unseen)


def _db_instance(ctx: Context) -> tuple[DbInstance | None, str]:
    """Return the fleet's DB instance, if any; and why it is unknown, or empty."""
    if ctx.recipe.database.mode != "rds":
        return None, ""
    try:
        return rds.find_db_instance(ctx), ""
    except Exception as error:  # the calculation works without credentials
        name = ctx.names.database
        return None, f"the DB instance {name} cannot be described ({_cause(error)}), so its cost is not included"


def _prices(ctx: Context, kinds: set[str], databases: set[str]) -> tuple[Prices | None, str]:
    """Return the prices of the AWS Price List, else of the table; and their source."""
    try:
        current = price_list.get_prices(ctx.aws, kinds, databases)
        reason = "the AWS Price List lacks a price"
    except Exception as error:  # no permission, no network, or an endpoint without this service
        current, reason = None, f"the AWS Price List cannot be read ({_cause(error)})"
    if current:
        return current, f"the AWS Price List of today ({ctx.clock.now():%Y-%m-%d})"
    return prices.for_region(
        ctx.aws.region
    ), f"the table of {prices.as_of():%B %Y} in goldenami/model/prices.toml, as {reason}"


def _cause(error: Exception) -> str:
    return str(explain(error) or error).splitlines()[0].partition(":")[0]
