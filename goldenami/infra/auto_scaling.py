"""What the fleet's instances come from: the launch template and the Auto Scaling group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from goldenami.aws import auto_scaling, launch_templates
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.infra import launch_template_plan, network, role
from goldenami.infra.network import Network
from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING, AutoScalingGroup
from goldenami.model.image import Image


def ensure_launch_template(ctx: Context, image: Image, security: str) -> None:
    """The launch template; one that is there keeps its versions."""
    names = ctx.names
    if launch_templates.get(ctx.aws, names.launch_template) is not None:
        return
    wanted = launch_template_plan.first_version(ctx.recipe, image, [security], names.web)
    token = launch_template_plan.client_token(names.launch_template, None, wanted, 0)
    launch_templates.create(
        ctx.aws, names.launch_template, wanted, f"{image.name} ({image.id})", token, network.resource_tags(ctx)
    )
    ctx.progress.detail(f"{names.launch_template} version 1 launches {image.name}")


def ensure_canary_group(ctx: Context, place: Network, version: int, size: int, target_group: str) -> None:
    """A group of its own for a version on trial; made once."""
    template = launch_templates.get(ctx.aws, ctx.names.launch_template)
    assert template is not None
    auto_scaling.create(
        ctx.aws,
        {
            "AutoScalingGroupName": ctx.names.canary_group,
            "MinSize": size,
            "MaxSize": size,
            "DesiredCapacity": size,
            "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(version)},
            "TargetGroupARNs": [target_group],
            "Tags": _tags(ctx),
            **_settings(ctx, place, "ELB"),
        },
    )


def ensure_group(ctx: Context, place: Network, target_group: str, held: Sequence[str]) -> None:
    """The Auto Scaling group, of the template's default version; one that is there keeps its version and its size.

    Args:
        shop: Where.
        place: The network.
        target_group: The target group's ARN; empty for none.
        held: Instances that may have data of their own (see `fleet.create.instances_with_data`).
    """
    fleet, names = ctx.recipe.fleet, ctx.names
    template = launch_templates.get(ctx.aws, names.launch_template)
    assert template is not None
    settings = {
        "AutoScalingGroupName": names.group,
        "MinSize": fleet.min,
        "MaxSize": fleet.max,
        **_settings(ctx, place, "ELB" if target_group else "EC2"),
    }
    there = auto_scaling.get(ctx.aws, names.group)
    if there is not None:
        check_new_max_size(ctx, there)
        if held:  # a second instance would have another truth
            settings |= {"MinSize": there.min, "MaxSize": there.max}
        if there.number is None:  # $Latest or $Default cannot be rolled back: name the version that it means now
            number = template.latest if there.version == "$Latest" else template.default
            settings["LaunchTemplate"] = {"LaunchTemplateId": template.id, "Version": str(number)}
        auto_scaling.update(ctx.aws, settings)
        configure_self_healing(ctx, there, held)
        return
    settings |= {
        "DesiredCapacity": fleet.desired,
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(template.default)},
        "Tags": _tags(ctx),
    }
    if target_group:
        settings["TargetGroupARNs"] = [target_group]
    auto_scaling.create(ctx.aws, settings)
    configure_self_healing(ctx, None, ())


def check_new_max_size(ctx: Context, group: AutoScalingGroup) -> None:
    """A maximum below the size ends instances at once; those that have a database of their own would take their rows along.

    Raises:
        GateError: That would happen.
    """
    if ctx.recipe.database.on_instance and group.desired > ctx.recipe.fleet.max:
        told = ", ".join(m.id for m in group.members)
        raise GateError(
            f"{group.name} has {group.desired} instances, each with a database of its own ({told}); [fleet] max ="
            f" {ctx.recipe.fleet.max} would end some of them with their rows",
            state="The group was not changed.",
            next="./invoke terminate --instance i-… --decrement, which backs its rows up, until one is left",
        )


def configure_self_healing(ctx: Context, group: AutoScalingGroup | None, held: Sequence[str]) -> None:
    """Where the instance has the database, the group must not replace it by itself: the new one would have no rows.

    With a volume it would have them all: it takes it at boot, so the group may mend itself.
    """
    suspended = group.suspended if group else ()
    if ctx.recipe.database.on_instance and not ctx.recipe.database.on_volume:
        auto_scaling.suspend(ctx.aws, ctx.names.group, [p for p in SUSPENDED_WHILE_REPLACING if p not in suspended])
        return
    if held:
        ctx.progress.info(
            f"{', '.join(held)} may hold rows, so the group keeps its size and must not replace it by itself"
            f" (./invoke db.migrate --to {ctx.recipe.database.mode})"
        )
        return
    # Also what somebody who died with the writes stopped has left.
    auto_scaling.resume(ctx.aws, ctx.names.group, [p for p in SUSPENDED_WHILE_REPLACING if p in suspended])


def _settings(ctx: Context, place: Network, health_check: Literal["ELB", "EC2"]) -> dict[str, Any]:
    fleet = ctx.recipe.fleet
    return {
        # A volume is in one zone, and so is whoever is to have it.
        "VPCZoneIdentifier": ",".join(place.subnets[:1] if ctx.recipe.database.on_volume else place.subnets),
        "HealthCheckType": health_check,
        "HealthCheckGracePeriod": fleet.health_check_grace_period,
        "DefaultInstanceWarmup": fleet.instance_warmup,
    }


def _tags(ctx: Context) -> list[dict[str, Any]]:
    return [
        {"Key": key, "Value": value, "PropagateAtLaunch": False}
        for key, value in sorted(network.resource_tags(ctx).items())
    ]


def ensure_first_version(ctx: Context, image: Image) -> None:
    """The launch template alone, with what it names (role, security group), for a service without a group."""
    place = network.find_network(ctx)
    role.ensure_role(ctx)
    security, _ = network.ensure_security_groups(ctx, place)
    ensure_launch_template(ctx, image, security)
