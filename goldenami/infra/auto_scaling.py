"""The launch template and the Auto Scaling group, created or updated from the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from goldenami.aws import auto_scaling, launch_templates
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.infra import launch_template_plan, role
from goldenami.infra.network import Network, ensure_security_groups, find_network, resource_tags
from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING, AutoScalingGroup
from goldenami.model.image import Image


def ensure_launch_template(ctx: Context, image: Image, security_group: str) -> None:
    """Create the launch template if it does not exist; an existing one is not changed."""
    names = ctx.names
    if launch_templates.get(ctx.aws, names.launch_template) is not None:
        return
    data = launch_template_plan.first_version(ctx.recipe, image, [security_group], names.web)
    token = launch_template_plan.client_token(names.launch_template, None, data, 0)
    description = f"{image.name} ({image.id})"
    launch_templates.create(ctx.aws, names.launch_template, data, description, token, resource_tags(ctx))
    ctx.progress.detail(f"{names.launch_template} version 1 launches {image.name}")


def ensure_canary_group(ctx: Context, network: Network, version: int, size: int, target_group: str) -> None:
    """Create the Auto Scaling group of the canary if it does not exist."""
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
            **_settings(ctx, network, "ELB"),
        },
    )


def ensure_group(
    ctx: Context, network: Network, target_group: str, instances_with_data: Sequence[str], *, empty: bool = False
) -> None:
    """Create or update the Auto Scaling group. A new one launches the template's default version; version and size are kept.

    Args:
        empty: Create it without an instance, for one that gets its data before it is attached.
    """
    fleet, names = ctx.recipe.fleet, ctx.names
    template = launch_templates.get(ctx.aws, names.launch_template)
    assert template is not None
    settings = {
        "AutoScalingGroupName": names.group,
        "MinSize": fleet.min,
        "MaxSize": fleet.max,
        **_settings(ctx, network, "ELB" if target_group else "EC2"),
    }
    group = auto_scaling.get(ctx.aws, names.group)
    if group is not None:
        check_new_max_size(ctx, group)
        if instances_with_data:  # another instance would have another database
            settings |= {"MinSize": group.min, "MaxSize": group.max}
        if group.number is None:  # $Latest or $Default cannot be rolled back: pin the current version
            number = template.latest if group.version == "$Latest" else template.default
            settings["LaunchTemplate"] = {"LaunchTemplateId": template.id, "Version": str(number)}
        auto_scaling.update(ctx.aws, settings)
        configure_self_healing(ctx, group, instances_with_data)
        return
    settings |= {
        **({"MinSize": 0, "DesiredCapacity": 0} if empty else {"DesiredCapacity": fleet.desired}),
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(template.default)},
        "Tags": _tags(ctx),
    }
    if target_group:
        settings["TargetGroupARNs"] = [target_group]
    auto_scaling.create(ctx.aws, settings)
    configure_self_healing(ctx, None, ())


def check_new_max_size(ctx: Context, group: AutoScalingGroup) -> None:
    """Raise GateError if a new maximum terminates instances that have a database of their own."""
    if ctx.recipe.database.on_instance and group.desired > ctx.recipe.fleet.max:
        members = ", ".join(m.id for m in group.members)
        raise GateError(
            f"{group.name} has {group.desired} instances, each with a database of its own ({members}); [fleet] max ="
            f" {ctx.recipe.fleet.max} would terminate some of them with their data",
            state="The group was not changed.",
            next="./invoke terminate --instance i-… --decrement, which backs up its database, until one is left",
        )


def configure_self_healing(ctx: Context, group: AutoScalingGroup | None, instances_with_data: Sequence[str]) -> None:
    """Suspend the processes that replace instances if the database is on the root disk; otherwise resume them.

    A replacement would have an empty database. With a volume it has the data: it attaches the volume at boot.
    """
    suspended = group.suspended if group else ()
    if ctx.recipe.database.on_instance and not ctx.recipe.database.on_volume:
        auto_scaling.suspend(ctx.aws, ctx.names.group, [p for p in SUSPENDED_WHILE_REPLACING if p not in suspended])
        return
    if instances_with_data:
        ctx.progress.info(
            f"{', '.join(instances_with_data)} may have data, so the group keeps its size and does not replace instances"
            f" (./invoke db.migrate --to {ctx.recipe.database.mode})"
        )
        return
    # Also after a crash during a write freeze.
    auto_scaling.resume(ctx.aws, ctx.names.group, [p for p in SUSPENDED_WHILE_REPLACING if p in suspended])


def _settings(ctx: Context, network: Network, health_check: Literal["ELB", "EC2"]) -> dict[str, Any]:
    fleet = ctx.recipe.fleet
    return {
        # A volume is in one zone, and so is the instance that mounts it.
        "VPCZoneIdentifier": ",".join(network.subnets[:1] if ctx.recipe.database.on_volume else network.subnets),
        "HealthCheckType": health_check,
        "HealthCheckGracePeriod": fleet.health_check_grace_period,
        "DefaultInstanceWarmup": fleet.instance_warmup,
    }


def _tags(ctx: Context) -> list[dict[str, Any]]:
    tags = sorted(resource_tags(ctx).items())
    return [{"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in tags]


def ensure_first_version(ctx: Context, image: Image) -> None:
    """Create the launch template with its role and security group, for a service without an Auto Scaling group."""
    role.ensure_role(ctx)
    security_group, _ = ensure_security_groups(ctx, find_network(ctx))
    ensure_launch_template(ctx, image, security_group)
