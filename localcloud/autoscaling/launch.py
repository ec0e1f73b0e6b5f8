"""Launches of group members: from exactly the template version that is asked for, balanced over zones."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import ASG_NAME_TAG

from localcloud.autoscaling.members import GroupMember, ScalingActivity
from localcloud.ec2.launch_templates import resolve_image


def launch(group: Any, asked: dict[str, Any] | None, cause: str) -> GroupMember:
    """Launch one instance from a LaunchTemplateSpecification (or the group's launch configuration).

    Raises what EC2 answers; then nothing was made.
    """
    backend = group.ec2_backend
    version = backend._get_template_from_args(asked) if asked else None
    zone, subnet = choose_zone(group)
    kept = set(backend.reservations)
    image, user_data, groups = launch_source(group, version)
    tags = {**group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    given: dict[str, Any] = (
        {"launch_template": specified(version)} if version else {"launch_config": group.launch_config}
    )
    try:
        reservation = backend.run_instances(
            image,
            1,
            user_data,
            groups,
            instance_type=version.instance_type if version else group.launch_config.instance_type,
            is_instance_type_default=False,
            associate_public_ip=None if version else group.launch_config.associate_public_ip_address,
            tags={"instance": tags},
            placement=zone,
            subnet_id=subnet,
            region_name=backend.region_name,
            **given,
        )
    except Exception:
        for made in set(backend.reservations) - kept:  # moto keeps the reservation that it could not fill
            if not backend.reservations[made].instances:
                del backend.reservations[made]
        raise
    instance = reservation.instances[0]
    details = {"Subnet ID": instance.subnet_id or "", "Availability Zone": instance.placement.zone}
    member = GroupMember(group, instance, specified(version) if version else None)
    member.activity = ScalingActivity(group, f"Launching a new EC2 instance: {instance.id}", cause, details)
    group.instance_states.append(member)
    return member


def launch_source(group: Any, version: Any) -> tuple[str | None, Any, list[str]]:
    """(image, user data, names or ids of security groups) of a launch."""
    if version is None:
        config = group.launch_config
        return config.image_id, config.user_data, list(config.security_groups or [])
    image = resolve_image(group.region, group.account_id, version.data)
    return image, version.user_data, list(version.security_groups)


def specified(version: Any) -> dict[str, str]:
    template = version.template
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}


def choose_zone(group: Any) -> tuple[str, str | None]:
    """(zone, subnet) with the fewest members, as Auto Scaling balances them."""
    subnets = [one.strip() for one in (group.vpc_zone_identifier or "").split(",") if one.strip()]
    active = [member.instance for member in group.instance_states if member.lifecycle_state in ("Pending", "InService")]
    if subnets:
        subnet = min(subnets, key=lambda one: sum(instance.subnet_id == one for instance in active))
        return group.ec2_backend.get_subnet(subnet).availability_zone, subnet
    zones = sorted(group.availability_zones)
    return min(zones, key=lambda one: sum(instance.placement.zone == one for instance in active)), None
