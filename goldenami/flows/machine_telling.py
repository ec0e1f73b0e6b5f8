"""What the tasks about single machines print, and the policies of the tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from goldenami.flows.shop import Shop
from goldenami.flows.update import Updated
from goldenami.values import policies
from goldenami.values.permissions import Place
from goldenami.values.summary import table
from goldenami.walls.aws import roles


def updated(done: Sequence[Updated]) -> str:
    """The end of `update`."""
    rows = [[one.machine.id, one.before[:12], one.after[:12]] for one in done]
    return table(["INSTANCE", "FROM", "TO"], rows)


def policy(shop: Shop, task: str) -> str:
    """The policy of a task, as JSON to paste."""
    account, _ = roles.caller(shop.aws)
    found = policies.policy(task, Place(shop.aws.region, account, shop.recipe))
    return json.dumps(found, indent=2)
