"""What the tasks about single machines print, and the policies of the tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from goldenami.aws import iam_roles as roles
from goldenami.context import Shop
from goldenami.fleet.update import Updated
from goldenami.iam import task_policies as policies
from goldenami.iam.statements import Place
from goldenami.summary import table


def updated(done: Sequence[Updated]) -> str:
    """The end of `update`."""
    rows = [[one.machine.id, one.before[:12], one.after[:12]] for one in done]
    return table(["INSTANCE", "FROM", "TO"], rows)


def policy(shop: Shop, task: str) -> str:
    """The policy of a task, as JSON to paste."""
    account, _ = roles.caller(shop.aws)
    found = policies.policy(task, Place(shop.aws.region, account, shop.recipe))
    return json.dumps(found, indent=2)
