"""Launch templates: numbered versions that say, each for itself, what an instance of the fleet is.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.errors import AwsError
from goldenami.model.fleet import LaunchTemplate, LaunchTemplateVersion

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import LaunchTemplateVersionTypeDef


_ABSENT = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")


def get(aws: AwsSession, name: str) -> LaunchTemplate | None:
    """A launch template with all its versions, or None when there is none of this name."""
    ec2 = aws.client("ec2")
    try:
        found = ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"]
    except ClientError as error:
        if code(error) in _ABSENT:
            return None
        raise
    if not found:
        return None
    template = found[0]
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateId=template["LaunchTemplateId"]
    )
    versions = [_version(v) for page in pages for v in page["LaunchTemplateVersions"]]
    return LaunchTemplate(
        id=template["LaunchTemplateId"],
        name=template["LaunchTemplateName"],
        default=template["DefaultVersionNumber"],
        latest=template["LatestVersionNumber"],
        versions={version.number: version for version in versions},
    )


def create(
    aws: AwsSession, name: str, data: Mapping[str, Any], description: str, token: str, tags: Mapping[str, str]
) -> LaunchTemplate:
    """Make a launch template with its first version; asked again with the same token, the same one is returned."""
    aws.client("ec2").create_launch_template(
        LaunchTemplateName=name,
        VersionDescription=description[:255],
        LaunchTemplateData=data,  # type: ignore[arg-type]
        ClientToken=token,
        TagSpecifications=[tag_specification("launch-template", tags)],
    )
    found = get(aws, name)
    assert found is not None, name
    return found


def add_version(
    aws: AwsSession, template: str, source: int, data: Mapping[str, Any], description: str, token: str
) -> int:
    """Make a version that differs from its source only in `data`; returns its number.

    Args:
        aws: Where.
        template: The launch template's id.
        source: The number of the version that everything else is taken from.
        data: What changes.
        description: For people, at most 255 characters.
        token: Asked again with the same token, EC2 returns the version that it has made.
    """
    made = aws.client("ec2").create_launch_template_version(
        LaunchTemplateId=template,
        SourceVersion=str(source),
        VersionDescription=description[:255],
        LaunchTemplateData=data,  # type: ignore[arg-type]
        ClientToken=token,
    )
    return made["LaunchTemplateVersion"]["VersionNumber"]


def set_default(aws: AwsSession, template: str, number: int) -> None:
    """Make a version the default: what somebody launches who does not say which."""
    aws.client("ec2").modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(number))


def delete_versions(aws: AwsSession, template: str, numbers: Sequence[int]) -> None:
    """Delete versions of a template; those that are gone already are fine.

    Raises:
        AwsError: EC2 did not delete one.
    """
    for start in range(0, len(numbers), 200):  # EC2 takes two hundred
        answer = aws.client("ec2").delete_launch_template_versions(
            LaunchTemplateId=template, Versions=[str(number) for number in numbers[start : start + 200]]
        )
        for left in answer.get("UnsuccessfullyDeletedLaunchTemplateVersions", []):
            problem = left.get("ResponseError", {})
            if problem.get("Code") != "launchTemplateVersionDoesNotExist":
                raise AwsError(f"EC2 did not delete version {left.get('VersionNumber')}: {problem.get('Message', '')}")


def delete(aws: AwsSession, name: str) -> bool:
    """Delete a launch template with all its versions; False when there is none."""
    found = get(aws, name)
    if found is None:
        return False
    try:
        aws.client("ec2").delete_launch_template(LaunchTemplateId=found.id)
    except ClientError as error:
        if code(error) not in _ABSENT:
            raise
    return True


def _version(found: LaunchTemplateVersionTypeDef) -> LaunchTemplateVersion:
    return LaunchTemplateVersion(
        number=found["VersionNumber"],
        data=found.get("LaunchTemplateData", {}),
        description=found.get("VersionDescription", ""),
    )
