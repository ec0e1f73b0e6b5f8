"""Text and JSON of what a fleet costs."""

from __future__ import annotations

import json
from dataclasses import asdict

from goldenami.cost.plan import Cost, CostItem, total
from goldenami.text import table


def text(cost: Cost, *, as_json: bool) -> str:
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


def _item(item: CostItem) -> dict[str, object]:
    return {**asdict(item), "month": item.month}
