"""Read the fleet as it is: template, group, instances, refreshes, pointer. Nothing is changed."""

from __future__ import annotations

from goldenami.flows.shop import Shop
from goldenami.values.scene import Names, Scene
from goldenami.walls.aws import groups, parameters, refreshes, templates


def read(shop: Shop) -> Scene:
    """Everything that a promotion depends on."""
    names = Names(shop.name)
    group = groups.get(shop.aws, names.group)
    return Scene(
        template=templates.get(shop.aws, names.template),
        group=group,
        refreshes=tuple(refreshes.every(shop.aws, group.name)) if group else (),
        history=tuple(parameters.history(shop.aws, names.production)),
    )
