"""Launch templates and their numbered versions.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.errors import AwsError
from goldenami.model.fleet import LaunchTemplate, LaunchTemplateVersion

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import LaunchTemplateTypeDef, LaunchTemplateVersionTypeDef

_ABSENT = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")


def get(aws: AwsSession, name: str) -> LaunchTemplate | None:
    """Return a launch template with all its versions, or None if it does not exist."""
    ec2 = aws.client("ec2")
    templates: list[LaunchTemplateTypeDef] = []
    with suppress(*_ABSENT):
        templates = ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"]
    if not templates:
        return None
    template = templates[0]
    paginator = ec2.get_paginator("describe_launch_template_versions")
    pages = paginator.paginate(LaunchTemplateId=template["LaunchTemplateId"])
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
    """Create a launch template with its first version, or return the one created with the same client token."""
    aws.client("ec2").create_launch_template(
        LaunchTemplateName=name,
        VersionDescription=description[:255],
        LaunchTemplateData=data,  # type: ignore[arg-type]
        ClientToken=token,
        TagSpecifications=[tag_specification("launch-template", tags)],
    )
    template = get(aws, name)
    assert template is not None, name
    return template


def add_version(
    aws: AwsSession, template: str, source: int, data: Mapping[str, Any], description: str, token: str
) -> int:
    """Create a version that differs from the version `source` only in `data`; return its number.

    The description is cut at 255 characters. With the same client token, EC2 returns the version that it has created.
    """
    response = aws.client("ec2").create_launch_template_version(
        LaunchTemplateId=template,
        SourceVersion=str(source),
        VersionDescription=description[:255],
        LaunchTemplateData=data,  # type: ignore[arg-type]
        ClientToken=token,
    )
    return response["LaunchTemplateVersion"]["VersionNumber"]


def set_default(aws: AwsSession, template: str, number: int) -> None:
    """Make a version the template's default."""
    aws.client("ec2").modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(number))


def delete_versions(aws: AwsSession, template: str, numbers: Sequence[int]) -> None:
    """Delete versions of a template; no error if one does not exist.

    Raises:
        AwsError: EC2 did not delete one.
    """
    for start in range(0, len(numbers), 200):  # the limit of a call
        response = aws.client("ec2").delete_launch_template_versions(
            LaunchTemplateId=template, Versions=[str(number) for number in numbers[start : start + 200]]
        )
        for version in response.get("UnsuccessfullyDeletedLaunchTemplateVersions", []):
            error = version.get("ResponseError", {})
            if error.get("Code") != "launchTemplateVersionDoesNotExist":
                raise AwsError(f"EC2 did not delete version {version.get('VersionNumber')}: {error.get('Message', '')}")


def delete(aws: AwsSession, name: str) -> bool:
    """Delete a launch template with all its versions; return False if it does not exist."""
    with suppress(*_ABSENT):
        aws.client("ec2").delete_launch_template(LaunchTemplateName=name)
        return True
    return False


def _version(version: LaunchTemplateVersionTypeDef) -> LaunchTemplateVersion:
    return LaunchTemplateVersion(
        number=version["VersionNumber"],
        data=version.get("LaunchTemplateData", {}),
        description=version.get("VersionDescription", ""),
    )
