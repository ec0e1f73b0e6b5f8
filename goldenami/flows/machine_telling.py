"""What the tasks about single machines print, and the policies of the tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from goldenami.flows.deploy import Deployed
from goldenami.flows.shop import Shop
from goldenami.flows.update import Updated
from goldenami.values import policies
from goldenami.values.permissions import Place
from goldenami.values.summary import pairs, table
from goldenami.walls.aws import roles


def deployed(done: Deployed) -> str:
    """The end of `deploy`."""
    told = {
        "instance": f"{done.machine.id} ({done.machine.address})",
        "image": f"{done.image.name} ({done.image.id})",
        "replaced": ", ".join(done.replaced) or "nothing",
        "logs": str(done.run.folder),
        "next": "./invoke instances",
    }
    return f"\ndeployed\n{pairs(told)}\n"


def deployed_facts(done: Deployed) -> str:
    """The same for scripts."""
    return json.dumps(
        {
            "instance": done.machine.id,
            "address": done.machine.address,
            "ami": done.image.id,
            "replaced": list(done.replaced),
            "run": done.run.id,
        }
    )


def updated(done: Sequence[Updated]) -> str:
    """The end of `update`."""
    rows = [[one.machine.id, one.before[:12], one.after[:12]] for one in done]
    return table(["INSTANCE", "FROM", "TO"], rows)


def policy(shop: Shop, task: str) -> str:
    """The policy of a task, as JSON to paste."""
    account, _ = roles.caller(shop.aws)
    found = policies.policy(task, Place(shop.aws.region, account, shop.recipe))
    return json.dumps(found, indent=2)
