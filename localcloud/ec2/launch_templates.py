"""Launch templates as launches see them: versions with numbers of their own, and all of their data honoured."""

from __future__ import annotations

import copy
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidLaunchTemplateVersionNotFound
from moto.ec2.models import EC2Backend
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ssm.models import ssm_backends


def install() -> None:
    """Replace moto's methods."""
    LaunchTemplate.create_version, LaunchTemplate.get_version = create_version, get_version
    LaunchTemplate.default_version = default_version
    EC2Backend._get_template_from_args = requested_version


def create_version(self: Any, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
    """moto counts the versions: after a deletion a number would come twice."""
    self.last_number = getattr(self, "last_number", len(self.versions)) + 1
    version = LaunchTemplateVersion(self, self.last_number, data, description)
    self.versions.append(version)
    return version


def get_version(self: Any, number: Any) -> Any:
    asked = str(number)
    if asked.lower() in ("$latest", "$default"):
        return self.versions[-1] if asked.lower() == "$latest" else self.default_version()
    for version in self.versions:
        if str(version.number) == asked:
            return version
    raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=asked)


def default_version(self: Any) -> Any:
    return self.get_version(self.default_version_number)


def requested_version(self: Any, asked: dict[str, Any]) -> Any:
    """The version that a LaunchTemplateSpecification means. moto: IndexError for an unknown id."""
    name, template_id = asked.get("LaunchTemplateName"), asked.get("LaunchTemplateId")
    template = self.get_launch_template(template_id) if template_id else self.get_launch_template_by_name(name)
    return template.get_version(asked.get("Version") or "$Default")


def resolve_image(region: str, account: str, data: dict[str, Any]) -> str | None:
    """The AMI of launch data, with `resolve:ssm:` looked up as at each launch."""
    image: str | None = data.get("ImageId")
    if image and image.startswith("resolve:ssm:"):
        name = image.removeprefix("resolve:ssm:")
        parameter = ssm_backends[account][region].get_parameter(name)
        if parameter is None:
            raise EC2ClientError("InvalidParameterValue", f"The parameter {name} of the ImageId was not found")
        return str(parameter.value)
    return image


def add_template_settings(asked: dict[str, Any], data: dict[str, Any]) -> None:
    """Put into a launch what moto drops of a template: interfaces, volume tags, and what is a single value."""
    if not asked.get("nics") and data.get("NetworkInterfaces"):
        asked["nics"] = copy.deepcopy(data["NetworkInterfaces"])
    if not asked.get("instance_initiated_shutdown_behavior"):
        asked["instance_initiated_shutdown_behavior"] = data.get("InstanceInitiatedShutdownBehavior")
    if not asked.get("ebs_optimized"):
        asked["ebs_optimized"] = data.get("EbsOptimized") or False
    if not asked.get("placement") and (zone := (data.get("Placement") or {}).get("AvailabilityZone")):
        asked["placement"] = zone
    asked["tags"] = tags = {kind: dict(given) for kind, given in (asked.get("tags") or {}).items()}
    for specification in data.get("TagSpecifications") or []:
        kind = specification.get("ResourceType")
        known = {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
        tags[kind] = known | tags.get(kind, {})
