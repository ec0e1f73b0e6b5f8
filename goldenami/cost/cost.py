"""`invoke cost`: what the recipe's fleet costs in a month, with Docker and without, and what operations have cost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from goldenami.aws import price_list as pricelist
from goldenami.aws.errors import explain
from goldenami.context import Shop
from goldenami.cost.plan import Comparison, Item, Operation, compare, next_size, operations, total
from goldenami.database import rds as server
from goldenami.errors import UsageError
from goldenami.model import prices
from goldenami.model.prices import Prices
from goldenami.model.resources import Server
from goldenami.state import runs
from goldenami.summary import table


@dataclass(frozen=True)
class Cost:
    """The calculation.

    Attributes:
        source: Where the prices are from, in words.
        unseen: Why it is not known whether a database server belongs to it; empty where it is.
    """

    region: str
    source: str
    comparison: Comparison
    operations: tuple[Operation, ...]
    unseen: str = ""


def calculate(shop: Shop) -> Cost:
    """Calculate; nothing is changed.

    Raises:
        UsageError: There is no price for an instance type, or for the region.
    """
    kind, builder = shop.recipe.instance.type, shop.recipe.instance_type(shop.target)
    wanted = {kind, next_size(kind), builder}
    made, unseen = _server(shop)
    found, source = _prices(shop, wanted, {made.kind} if made else set())
    comparison = compare(shop.recipe, found, made) if found else None
    if found is None or comparison is None:
        raise UsageError(
            f"there is no price for {' and '.join(sorted(wanted))} in {shop.aws.region}: {source}",
            next="credentials that allow pricing:GetProducts (./invoke iam.policy cost)",
        )
    records = [run.facts() for run in runs.every(shop.build)]
    ran = tuple(operations(records, shop.recipe, found, builder))
    return Cost(shop.aws.region, source, comparison, ran, unseen)


def _server(shop: Shop) -> tuple[Server | None, str]:
    """The server that db.migrate has made, if there is one; or why nobody can say."""
    if shop.recipe.database.mode != "rds":
        return None, ""
    try:
        return server.find(shop), ""
    except Exception as error:  # a calculation needs no credentials, and is told without
        return None, f"RDS cannot be asked for {shop.names.data} ({_short(error)}), so no database server is counted"


def _prices(shop: Shop, kinds: set[str], databases: set[str]) -> tuple[Prices | None, str]:
    """Today's prices where the list may be asked, else the table's; and which."""
    try:
        found = pricelist.prices(shop.aws, kinds, databases)
        why = "the AWS Price List does not hold every part"
    except Exception as error:  # no access, no network, no such service behind an endpoint: the table will do
        found, why = None, f"the AWS Price List cannot be asked ({_short(error)})"
    if found:
        return found, f"the AWS Price List of today ({shop.clock.now():%Y-%m-%d})"
    return prices.table(shop.aws.region), f"the table of {prices.AS_OF:%B %Y} in goldenami/values/prices.py, as {why}"


def _short(error: Exception) -> str:
    return str(explain(error) or error).splitlines()[0].partition(":")[0]


def tell(cost: Cost, *, as_json: bool) -> str:
    """The calculation, for people or for scripts."""
    comparison = cost.comparison
    if as_json:
        told = {
            "region": cost.region,
            "prices": cost.source,
            "currency": "USD",
            "images": {"month": total(comparison.images), "items": [_item(i) for i in comparison.images]},
            "docker": {"month": total(comparison.docker), "items": [_item(i) for i in comparison.docker]},
            "saved": comparison.saved,
            "unseen": cost.unseen,
            "operations": [asdict(operation) for operation in cost.operations],
        }
        return json.dumps(told, ensure_ascii=False)
    parts = [f"US dollars a month in {cost.region}, without tax and traffic; prices from {cost.source}", ""]
    for title, items in (("golden images", comparison.images), ("with Docker", comparison.docker)):
        rows = [[i.what, f"{i.count:g}", f"{i.each:.2f}", f"{i.month:.2f}", i.note] for i in items]
        parts += [
            table([title.upper(), "COUNT", "EACH", "MONTH", ""], [*rows, ["total", "", "", f"{total(items):.2f}", ""]]),
            "",
        ]
    share = 100 * comparison.saved / total(comparison.docker)
    instances = 100 * (1 - comparison.images[0].each / comparison.docker[0].each)
    parts.append(
        f"golden images save ${comparison.saved:.2f} a month ({share:.0f} %); of the instances alone {instances:.0f} %."
        " Not counted: a registry for Docker's images."
    )
    if cost.unseen:
        parts.append(cost.unseen)
    if cost.operations:
        rows = [[o.kind, str(o.times), f"{o.minutes:.1f}", f"{o.cost:.4f}", o.what] for o in cost.operations]
        parts += ["", "what operations of this checkout cost, each in the mean", ""]
        parts.append(table(["OPERATION", "TIMES", "MINUTES", "DOLLARS", ""], rows))
    return "\n".join(parts)


def _item(item: Item) -> dict[str, object]:
    return {**asdict(item), "month": item.month}
