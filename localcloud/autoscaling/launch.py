"""Launches of group members, from a given launch template version, balanced over Availability Zones."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG
from moto.core.exceptions import ServiceException
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.utils import filter_iam_instance_profiles

from localcloud.autoscaling.launch_spec import version_specification
from localcloud.autoscaling.members import GroupMember, ScalingActivity
from localcloud.core.cloud import Cloud
from localcloud.ec2.image_model import get_available_image
from localcloud.ec2.launch_templates import resolve_image


def launch(group: Any, specification: dict[str, Any] | None, cause: str) -> GroupMember:
    """Launch one instance from a LaunchTemplateSpecification, or from the group's launch configuration. Raises EC2's error,
    without any resource left, if the launch fails."""
    backend = group.ec2_backend
    version = backend._get_template_from_args(specification) if specification else None
    zone, subnet = choose_zone(group)
    reservations = set(backend.reservations)
    image, user_data, groups = launch_source(group, version)
    tags = {**group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    resolved = version_specification(version) if version else None
    options: dict[str, Any] = {"launch_template": resolved} if version else {"launch_config": group.launch_config}
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
            **options,
        )
    except Exception:
        for reservation_id in set(backend.reservations) - reservations:  # moto leaves an empty reservation
            if not backend.reservations[reservation_id].instances:
                del backend.reservations[reservation_id]
        raise
    instance = reservation.instances[0]
    details = {"Subnet ID": instance.subnet_id or "", "Availability Zone": instance.placement.zone}
    member = GroupMember(group, instance, resolved)
    member.activity = ScalingActivity(group, f"Launching a new EC2 instance: {instance.id}", cause, details)
    group.instance_states.append(member)
    return member


def launch_source(group: Any, version: Any) -> tuple[str | None, Any, list[str]]:
    """Return the image, the user data and the names or ids of security groups of a launch."""
    if version is None:
        config = group.launch_config
        return config.image_id, config.user_data, list(config.security_groups or [])
    image = resolve_image(group.region, group.account_id, version.data)
    return image, version.user_data, list(version.security_groups)


def choose_zone(group: Any) -> tuple[str, str | None]:
    """Return the Availability Zone and the subnet (if the group has any) with the fewest members."""
    subnets = [subnet.strip() for subnet in (group.vpc_zone_identifier or "").split(",") if subnet.strip()]
    active = [member.instance for member in group.instance_states if member.active]
    if subnets:
        subnet = min(subnets, key=lambda subnet: sum(instance.subnet_id == subnet for instance in active))
        return group.ec2_backend.get_subnet(subnet).availability_zone, subnet
    zones = sorted(group.availability_zones)
    return min(zones, key=lambda zone: sum(instance.placement.zone == zone for instance in active)), None


def check_launchable(cloud: Cloud, scaling: Any, specification: dict[str, Any] | None) -> None:
    """Raise AWS's error if instances cannot be launched from a template. Auto Scaling does a dry run for that.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/create-launch-template.html"""
    if not specification:
        return
    backend = scaling.ec2_backend
    try:
        version = backend._get_template_from_args(specification)
        data = version.data
        get_available_image(cloud, backend, resolve_image(scaling.region_name, scaling.account_id, data))
        for name in [*data.get("SecurityGroupIds", []), *data.get("SecurityGroups", [])]:
            if backend.get_security_group_by_name_or_id(name) is None:
                raise ValidationError(f"The security group '{name}' does not exist")
        if profile := data.get("IamInstanceProfile"):
            filter_iam_instance_profiles(scaling.account_id, "aws", profile.get("Arn"), profile.get("Name"))
        if version.instance_type not in INSTANCE_TYPES:
            raise ValidationError(f"Invalid instance type: '{version.instance_type}'")
    except ServiceException as error:
        raise ValidationError(f"You must use a valid fully-formed launch template. {error.message}") from error
