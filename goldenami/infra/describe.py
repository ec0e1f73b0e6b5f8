"""Read the fleet as it is: template, group, instances, refreshes, pointer. Nothing is changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from goldenami.aws import auto_scaling as groups
from goldenami.aws import instance_refreshes as refreshes
from goldenami.aws import launch_templates as templates
from goldenami.aws import load_balancers as balancers
from goldenami.aws import parameters
from goldenami.context import Shop
from goldenami.model.fleet import Scene, Trial
from goldenami.model.names import Names


def read(shop: Shop) -> Scene:
    """Everything that a promotion depends on."""
    names = Names(shop.name)
    with ThreadPoolExecutor() as pool:  # a dozen questions, each as far as the region is away
        group = pool.submit(groups.get, shop.aws, names.group)
        template = pool.submit(templates.get, shop.aws, names.template)
        history = pool.submit(parameters.history, shop.aws, names.production)
        trial = pool.submit(_trial, shop)
        found = group.result()
        return Scene(
            template=template.result(),
            group=found,
            refreshes=tuple(refreshes.every(shop.aws, found.name)) if found else (),
            history=tuple(history.result()),
            trial=trial.result(),
        )


def _trial(shop: Shop) -> Trial | None:
    group = groups.get(shop.aws, shop.names.trial)
    if group is None:
        return None
    balancer = balancers.get(shop.aws, shop.names.balancer)
    shares = balancers.shares(shop.aws, balancer.arn) if balancer else {}
    total = sum(shares.values())
    mine = sum(weight for arn, weight in shares.items() if arn in group.target_groups)
    return Trial(group, round(100 * mine / total) if total else 0)
