"""`invoke cost`: what the recipe's fleet costs in a month, with Docker and without, and what operations have cost."""

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
    """Calculate; nothing is changed.

    Raises:
        UsageError: There is no price for an instance type, or for the region.
    """
    kind, builder = ctx.recipe.instance.type, ctx.recipe.instance_type(ctx.target)
    wanted = {kind, next_size(kind), builder}
    made, unseen = _db_instance(ctx)
    found, source = _prices(ctx, wanted, {made.instance_class} if made else set())
    comparison = compare(ctx.recipe, found, made) if found else None
    if found is None or comparison is None:
        raise UsageError(
            f"there is no price for {' and '.join(sorted(wanted))} in {ctx.aws.region}: {source}",
            next="credentials that allow pricing:GetProducts (./invoke iam.policy cost)",
        )
    records = [run.facts() for run in runs.list_runs(ctx.build)]
    ran = tuple(operations(records, ctx.recipe, found, builder))
    return Cost(ctx.aws.region, source, comparison, ran, unseen)


def _db_instance(ctx: Context) -> tuple[DbInstance | None, str]:
    """The server that db.migrate has made, if there is one; or why nobody can say."""
    if ctx.recipe.database.mode != "rds":
        return None, ""
    try:
        return rds.find_db_instance(ctx), ""
    except Exception as error:  # a calculation needs no credentials, and is told without
        return (
            None,
            f"RDS cannot be asked for {ctx.names.database} ({_without_section(error)}), so no database server is counted",
        )


def _prices(ctx: Context, kinds: set[str], databases: set[str]) -> tuple[Prices | None, str]:
    """Today's prices where the list may be asked, else the table's; and which."""
    try:
        found = price_list.get_prices(ctx.aws, kinds, databases)
        why = "the AWS Price List does not hold every part"
    except Exception as error:  # no access, no network, no such service behind an endpoint: the table will do
        found, why = None, f"the AWS Price List cannot be asked ({_without_section(error)})"
    if found:
        return found, f"the AWS Price List of today ({ctx.clock.now():%Y-%m-%d})"
    return prices.for_region(
        ctx.aws.region
    ), f"the table of {prices.as_of():%B %Y} in goldenami/model/prices.toml, as {why}"


def _without_section(error: Exception) -> str:
    return str(explain(error) or error).splitlines()[0].partition(":")[0]
