"""What the fleet's instances come from: the launch template and the Auto Scaling group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from goldenami.aws import auto_scaling as groups
from goldenami.aws import launch_templates as templates
from goldenami.context import Shop
from goldenami.database import guard
from goldenami.database.switchover_model import ALONE
from goldenami.errors import GateError
from goldenami.infra import launch_template_plan as data
from goldenami.infra import network as ground
from goldenami.infra.network import Ground
from goldenami.model.fleet import Group
from goldenami.model.image import Image

# What ends an instance that is not well, or is in a zone with too many.
_REPLACES = ("AZRebalance", "ReplaceUnhealthy")


def ensure_template(shop: Shop, image: Image, security: str) -> None:
    """The launch template; one that is there keeps its versions."""
    names = shop.names
    if templates.get(shop.aws, names.template) is not None:
        return
    wanted = data.first(shop.recipe, image, [security], names.web)
    token = data.token(names.template, None, wanted, 0)
    templates.create(shop.aws, names.template, wanted, f"{image.name} ({image.id})", token, ground.tags(shop))
    shop.progress.detail(f"{names.template} version 1 launches {image.name}")


def ensure_trial(shop: Shop, place: Ground, version: int, size: int, target_group: str) -> None:
    """A group of its own for a version on trial; made once."""
    template = templates.get(shop.aws, shop.names.template)
    assert template is not None
    groups.create(
        shop.aws,
        {
            "AutoScalingGroupName": shop.names.trial,
            "MinSize": size,
            "MaxSize": size,
            "DesiredCapacity": size,
            "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(version)},
            "TargetGroupARNs": [target_group],
            "Tags": _tags(shop),
            **_settings(shop, place, "ELB"),
        },
    )


def ensure_group(shop: Shop, place: Ground, target_group: str) -> None:
    """The Auto Scaling group, of the template's default version; one that is there keeps its version and its size."""
    fleet, names = shop.recipe.fleet, shop.names
    template = templates.get(shop.aws, names.template)
    assert template is not None
    settings = {
        "AutoScalingGroupName": names.group,
        "MinSize": fleet.min,
        "MaxSize": fleet.max,
        **_settings(shop, place, "ELB" if target_group else "EC2"),
    }
    there = groups.get(shop.aws, names.group)
    if there is not None:
        _refuse_to_shrink(shop, there)
        held = _holding(shop, there)
        if held:  # a second instance would have another truth
            settings |= {"MinSize": there.min, "MaxSize": there.max}
        if there.number is None:  # $Latest or $Default cannot be rolled back: name the version that it means now
            number = template.latest if there.version == "$Latest" else template.default
            settings["LaunchTemplate"] = {"LaunchTemplateId": template.id, "Version": str(number)}
        groups.update(shop.aws, settings)
        _keep_instances(shop, there, held)
        return
    settings |= {
        "DesiredCapacity": fleet.desired,
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(template.default)},
        "Tags": _tags(shop),
    }
    if target_group:
        settings["TargetGroupARNs"] = [target_group]
    groups.create(shop.aws, settings)
    _keep_instances(shop, None, ())


def _refuse_to_shrink(shop: Shop, group: Group) -> None:
    """A maximum below the size ends instances at once; those that have a database of their own would take their rows along.

    Raises:
        GateError: That would happen.
    """
    if shop.recipe.database.on_instance and group.desired > shop.recipe.fleet.max:
        told = ", ".join(m.id for m in group.members)
        raise GateError(
            f"{group.name} has {group.desired} instances, each with a database of its own ({told}); [fleet] max ="
            f" {shop.recipe.fleet.max} would end some of them with their rows",
            state="The group was not changed.",
            next="./invoke terminate --instance i-… --decrement, which backs its rows up, until one is left",
        )


def _holding(shop: Shop, group: Group) -> list[str]:
    """The instances that may hold rows on their own disk although the recipe has data elsewhere: they are yet to be moved."""
    database = shop.recipe.database
    if (database.on_instance and not database.on_volume) or not set(_REPLACES) & set(group.suspended):
        return []
    found = guard.look(shop, [m.id for m in group.members])
    return [one.instance for one in found if (one.holds and not one.volume) or not one.seen]


def _keep_instances(shop: Shop, group: Group | None, held: Sequence[str]) -> None:
    """Where the instance has the database, the group must not replace it by itself: the new one would have no rows.

    With a volume it would have them all: it takes it at boot, so the group may mend itself.
    """
    suspended = group.suspended if group else ()
    if shop.recipe.database.on_instance and not shop.recipe.database.on_volume:
        groups.suspend(shop.aws, shop.names.group, [p for p in ALONE if p not in suspended])
        return
    if held:
        shop.progress.say(
            f"{', '.join(held)} may hold rows, so the group keeps its size and must not replace it by itself"
            f" (./invoke db.migrate --to {shop.recipe.database.mode})"
        )
        return
    # Also what somebody who died with the writes stopped has left.
    groups.resume(shop.aws, shop.names.group, [p for p in ALONE if p in suspended])


def _settings(shop: Shop, place: Ground, health_check: Literal["ELB", "EC2"]) -> dict[str, Any]:
    fleet = shop.recipe.fleet
    return {
        # A volume is in one zone, and so is whoever is to have it.
        "VPCZoneIdentifier": ",".join(place.subnets[:1] if shop.recipe.database.on_volume else place.subnets),
        "HealthCheckType": health_check,
        "HealthCheckGracePeriod": fleet.health_check_grace_period,
        "DefaultInstanceWarmup": fleet.warmup,
    }


def _tags(shop: Shop) -> list[dict[str, Any]]:
    return [
        {"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in sorted(ground.tags(shop).items())
    ]
