"""Report of what a fleet costs."""

from __future__ import annotations

from dataclasses import asdict

from goldenami.cost.plan import Cost, CostItem, total
from goldenami.text import Report, table


def report(cost: Cost) -> Report:
    """Return the monthly cost of the fleet, and the cost of past operations."""
    comparison = cost.comparison
    facts = {
        "region": cost.region,
        "prices": cost.source,
        "currency": "USD",
        "images": {"month": total(comparison.images), "items": [_item(i) for i in comparison.images]},
        "docker": {"month": total(comparison.docker), "items": [_item(i) for i in comparison.docker]},
        "saved": comparison.saved,
        "unseen": cost.unseen,
        "operations": [asdict(operation) for operation in cost.operations],
    }
    parts = [f"US dollars per month in {cost.region}, without tax and traffic; prices from {cost.source}", ""]
    for title, items in (("golden images", comparison.images), ("with Docker", comparison.docker)):
        rows = [[i.what, f"{i.count:g}", f"{i.each:.2f}", f"{i.month:.2f}", i.note] for i in items]
        rows.append(["total", "", "", f"{total(items):.2f}", ""])
        parts += [table([title.upper(), "COUNT", "EACH", "MONTH", ""], rows), ""]
    share = 100 * comparison.saved / total(comparison.docker)
    instances = 100 * (1 - comparison.images[0].each / comparison.docker[0].each)
    parts.append(
        f"golden images save ${comparison.saved:.2f} per month ({share:.0f} %); of the instances alone {instances:.0f} %."
        " Not included: a registry for Docker images."
    )
    if cost.unseen:
        parts.append(cost.unseen)
    if cost.operations:
        rows = [[o.kind, str(o.times), f"{o.minutes:.1f}", f"{o.cost:.4f}", o.what] for o in cost.operations]
        parts += ["", "average cost of an operation in this checkout", ""]
        parts.append(table(["OPERATION", "TIMES", "MINUTES", "DOLLARS", ""], rows))
    return Report(facts, "\n".join(parts))


def _item(item: CostItem) -> dict[str, object]:
    return {**asdict(item), "month": item.month}
