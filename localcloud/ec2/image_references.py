"""DescribeImageReferences, which moto lacks: the resources that use an image, within the limits of AWS's check.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageReferences.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ssm.models import ssm_backends

from localcloud.core.cloud import TERMINATED_STATES

# Number of versions of a launch template that are checked, from the newest, by default.
DEPTH = 10


def install() -> None:
    """Add the action."""

    def describe_image_references(self: Any) -> ActionResult:
        self.error_on_dryrun()
        image_ids = self._get_param("ImageIds", [])
        if not 1 <= len(image_ids) <= 10:
            raise EC2ClientError("InvalidParameterValue", "ImageIds takes 1 to 10 images")
        if not self._get_param("IncludeAllResourceTypes") and not self._get_param("ResourceTypes"):
            raise EC2ClientError("MissingParameter", "IncludeAllResourceTypes or ResourceTypes must be given")
        found = [(ami, kind, arn) for kind, arn, ami in find_references(self) if ami in image_ids]
        references = [{"ImageId": ami, "ResourceType": kind, "Arn": arn} for ami, kind, arn in found]
        return ActionResult({"ImageReferences": references})

    EC2Response.describe_image_references = describe_image_references


def find_references(response: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the resource type, ARN and image id of every reference in the request's region."""
    backend = response.ec2_backend
    scope = f"{response.region}:{response.current_account}"
    for instance in (i for reservation in backend.reservations.values() for i in reservation.instances):
        if instance.state not in TERMINATED_STATES:
            yield "ec2:Instance", f"arn:aws:ec2:{scope}:instance/{instance.id}", instance.image_id
    for template in backend.launch_templates.values():
        for version in template.versions[-DEPTH:]:
            arn = f"arn:aws:ec2:{scope}:launch-template/{template.id}"
            yield "ec2:LaunchTemplate", arn, version.data.get("ImageId", "")
    parameters = ssm_backends[response.current_account][response.region]._parameters
    for name, versions in list(dict.items(parameters)):
        if versions and versions[-1].data_type == "aws:ec2:image" and not name.startswith("/aws/"):
            yield "ssm:Parameter", f"arn:aws:ssm:{scope}:parameter{name}", versions[-1].value
