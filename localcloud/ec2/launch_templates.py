"""Launch templates in launches: versions with stable numbers, and all of their settings applied.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResponseLaunchTemplateData.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchTemplateSpecification.html"""

from __future__ import annotations

import copy
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidLaunchTemplateVersionNotFound
from moto.ec2.models import EC2Backend
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ssm.models import ssm_backends

from localcloud.core.overrides import replace_methods


def install() -> None:
    """Replace moto's methods."""
    replace_methods(LaunchTemplate, create_version, get_version, default_version)
    EC2Backend._get_template_from_args = requested_version


def create_version(self: Any, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
    """moto numbers by the count of versions, so that a number would be used twice after a deletion."""
    self.last_number = getattr(self, "last_number", len(self.versions)) + 1
    version = LaunchTemplateVersion(self, self.last_number, data, description)
    self.versions.append(version)
    return version


def get_version(self: Any, number: Any) -> Any:
    """moto takes the number as a position, which is wrong after a deletion."""
    name = str(number)
    if name.lower() in ("$latest", "$default"):
        return self.versions[-1] if name.lower() == "$latest" else self.default_version()
    for version in self.versions:
        if str(version.number) == name:
            return version
    raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=name)


def default_version(self: Any) -> Any:
    return self.get_version(self.default_version_number)


def requested_version(self: Any, specification: dict[str, Any]) -> Any:
    """Return the version that a LaunchTemplateSpecification names. moto raises IndexError for an unknown id."""
    name, template_id = specification.get("LaunchTemplateName"), specification.get("LaunchTemplateId")
    template = self.get_launch_template(template_id) if template_id else self.get_launch_template_by_name(name)
    return template.get_version(specification.get("Version") or "$Default")


def resolve_image(region: str, account: str, data: dict[str, Any]) -> str | None:
    """Return the AMI of launch data, with `resolve:ssm:` resolved to the parameter's current value."""
    image: str | None = data.get("ImageId")
    if image and image.startswith("resolve:ssm:"):
        name = image.removeprefix("resolve:ssm:")
        parameter = ssm_backends[account][region].get_parameter(name)
        if parameter is None:
            raise EC2ClientError("InvalidParameterValue", f"The parameter {name} of the ImageId was not found")
        return str(parameter.value)
    return image


def add_template_settings(options: dict[str, Any], data: dict[str, Any]) -> None:
    """Add a template's settings that moto ignores to the options of a launch, unless the request sets them."""
    if not options.get("nics") and data.get("NetworkInterfaces"):
        options["nics"] = copy.deepcopy(data["NetworkInterfaces"])
    if not options.get("instance_initiated_shutdown_behavior"):
        options["instance_initiated_shutdown_behavior"] = data.get("InstanceInitiatedShutdownBehavior")
    if not options.get("ebs_optimized"):
        options["ebs_optimized"] = data.get("EbsOptimized") or False
    if not options.get("placement") and (zone := (data.get("Placement") or {}).get("AvailabilityZone")):
        options["placement"] = zone
    options["tags"] = tags = {kind: dict(values) for kind, values in (options.get("tags") or {}).items()}
    for specification in data.get("TagSpecifications") or []:
        kind = specification.get("ResourceType")
        template_tags = {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
        tags[kind] = template_tags | tags.get(kind, {})
