"""What the fleet's instances come from: the launch template and the Auto Scaling group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from goldenami.flows import ground
from goldenami.flows.ground import Ground
from goldenami.flows.shop import Shop
from goldenami.values import template as data
from goldenami.values.images import Image
from goldenami.walls.aws import groups, templates

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
        if there.number is None:  # $Latest or $Default cannot be rolled back: name the version that it means now
            number = template.latest if there.version == "$Latest" else template.default
            settings["LaunchTemplate"] = {"LaunchTemplateId": template.id, "Version": str(number)}
        groups.update(shop.aws, settings)
        _keep_instances(shop, there.suspended)
        return
    settings |= {
        "DesiredCapacity": fleet.desired,
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(template.default)},
        "Tags": _tags(shop),
    }
    if target_group:
        settings["TargetGroupARNs"] = [target_group]
    groups.create(shop.aws, settings)
    _keep_instances(shop, ())


def _keep_instances(shop: Shop, suspended: Sequence[str]) -> None:
    """Where the instance has the database, the group must not replace it by itself: the new one would have no rows."""
    if shop.recipe.database.on_instance:
        groups.suspend(shop.aws, shop.names.group, [p for p in _REPLACES if p not in suspended])
    else:
        groups.resume(shop.aws, shop.names.group, [p for p in _REPLACES if p in suspended])


def _settings(shop: Shop, place: Ground, health_check: Literal["ELB", "EC2"]) -> dict[str, Any]:
    fleet = shop.recipe.fleet
    return {
        "VPCZoneIdentifier": ",".join(place.subnets),
        "HealthCheckType": health_check,
        "HealthCheckGracePeriod": fleet.health_check_grace_period,
        "DefaultInstanceWarmup": fleet.warmup,
    }


def _tags(shop: Shop) -> list[dict[str, Any]]:
    return [
        {"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in sorted(ground.tags(shop).items())
    ]
