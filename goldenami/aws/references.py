"""Take the census of an account: everything that names AMIs and snapshots. Reads only, page by page.

Taken again with an earlier census at hand, only what may have changed since is read: a version of a launch template never
changes, and a parameter tells by its version and its date whether it has.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws import parameters
from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.model.references import Pointers, Reference, ReferenceIndex, TemplateReferences

# A terminated instance never starts again.
_LIVE_STATES = ["pending", "running", "shutting-down", "stopping", "stopped"]


def read_references(
    aws: AwsSession, ours: Pointers, *, before: ReferenceIndex | None = None, ami: str = ""
) -> ReferenceIndex:
    """The census.

    Args:
        aws: The account and region.
        ours: Our own parameters. The pointers are read in any case: a label may move without a new version.
        before: An earlier census; what cannot have changed since is taken from it.
        ami: Of the instances, look only for those of this AMI.
    """
    configurations = _configurations(aws)
    launched = [
        Reference(thing, "configuration", f"launch configuration {name}")
        for name, named in configurations.items()
        for thing in named
    ]
    return ReferenceIndex(
        references=(*_instances(aws, ami), *_groups(aws, configurations), *launched),
        templates=_templates(aws, before.templates if before else {}),
        parameters=parameters.list_image_parameters(
            aws,
            frozenset({ours.production, ours.candidate}),
            before.parameters if before else {},
            unread=f"{ours.path}/inventory",
        ),
    )


def image_references(aws: AwsSession, ami: str) -> tuple[Reference, ...]:
    """What EC2 itself finds that uses an AMI, Image Builder's recipes too; it does not look everywhere."""
    pages = (
        aws.client("ec2")
        .get_paginator("describe_image_references")
        .paginate(ImageIds=[ami], IncludeAllResourceTypes=True)
    )
    return tuple(
        Reference(ami, "hint", f"EC2 says that {found.get('Arn') or found.get('ResourceType', 'something')} uses it")
        for page in pages
        for found in page.get("ImageReferences", [])
    )


def _instances(aws: AwsSession, ami: str) -> Iterator[Reference]:
    filters: list[Any] = [{"Name": "instance-state-name", "Values": _LIVE_STATES}]
    if ami:
        filters.append({"Name": "image-id", "Values": [ami]})
    pages = (
        aws.client("ec2")
        .get_paginator("describe_instances")
        .paginate(Filters=filters, PaginationConfig={"PageSize": 1000})
    )
    for page in pages:
        for machine in (i for reservation in page["Reservations"] for i in reservation["Instances"]):
            state = machine["State"]["Name"]
            yield Reference(machine.get("ImageId", ""), "instance", f"instance {machine['InstanceId']} ({state})")


def _templates(aws: AwsSession, before: Mapping[str, TemplateReferences]) -> dict[str, TemplateReferences]:
    ec2 = aws.client("ec2")
    pages = ec2.get_paginator("describe_launch_templates").paginate(PaginationConfig={"PageSize": 200})
    found = {}
    for template in (template for page in pages for template in page["LaunchTemplates"]):
        identity, latest = template["LaunchTemplateId"], template["LatestVersionNumber"]
        known = before.get(identity)
        named = dict(known.resource_ids) if known else {}
        if known is None or known.latest != latest:
            named |= _versions(aws, identity, known.latest if known else 0)
        found[identity] = TemplateReferences(
            template["LaunchTemplateName"], template["DefaultVersionNumber"], latest, named
        )
    return found


def _versions(aws: AwsSession, template: str, after: int) -> dict[int, tuple[str, ...]]:
    """What the versions of a template name, after this one."""
    since: dict[str, Any] = {"MinVersion": str(after)} if after else {}
    pages = (
        aws.client("ec2")
        .get_paginator("describe_launch_template_versions")
        .paginate(LaunchTemplateId=template, **since, PaginationConfig={"PageSize": 200})
    )
    try:
        return {
            version["VersionNumber"]: named
            for page in pages
            for version in page["LaunchTemplateVersions"]
            if (named := _launched(version.get("LaunchTemplateData", {})))
        }
    except ClientError as error:
        if code(error) == "InvalidLaunchTemplateId.NotFound":
            return {}  # deleted in this very moment
        raise


def _groups(aws: AwsSession, configurations: Mapping[str, tuple[str, ...]]) -> Iterator[Reference]:
    pages = (
        aws.client("autoscaling")
        .get_paginator("describe_auto_scaling_groups")
        .paginate(PaginationConfig={"PageSize": 100})
    )
    for group in (group for page in pages for group in page["AutoScalingGroups"]):
        name, configuration = group["AutoScalingGroupName"], group.get("LaunchConfigurationName", "")
        for thing in _desired(group):
            yield Reference(thing, "group", f"Auto Scaling group {name} launches it ({_reported(thing)})")
        for thing in configurations.get(configuration, ()):
            yield Reference(thing, "group", f"Auto Scaling group {name} launches it ({configuration})")
        for refresh in _refreshes(aws, name):
            told = f"instance refresh {refresh['InstanceRefreshId']} of {name} ({refresh['Status']})"
            for thing in _desired(refresh.get("DesiredConfiguration", {})):
                yield Reference(thing, "refresh", f"{told} brings it ({_reported(thing)})")


def _refreshes(aws: AwsSession, group: str) -> Sequence[Mapping[str, Any]]:
    """The group's refreshes of the last six weeks, the running one among them; none once the group is gone."""
    try:
        found = aws.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=100)
    except ClientError as error:
        if code(error) == "ValidationError":
            return ()
        raise
    return found["InstanceRefreshes"]


def _configurations(aws: AwsSession) -> dict[str, tuple[str, ...]]:
    pages = (
        aws.client("autoscaling")
        .get_paginator("describe_launch_configurations")
        .paginate(PaginationConfig={"PageSize": 100})
    )
    return {
        found["LaunchConfigurationName"]: _launched(found) for page in pages for found in page["LaunchConfigurations"]
    }


def _desired(wanted: Mapping[str, Any]) -> Iterator[str]:
    """What a group, or a refresh's desired configuration, launches."""
    mixed = wanted.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    overrides = mixed.get("Overrides", [])
    specifications = [wanted.get("LaunchTemplate", {}), mixed.get("LaunchTemplateSpecification", {})]
    for specification in [*specifications, *(one.get("LaunchTemplateSpecification", {}) for one in overrides)]:
        if "LaunchTemplateId" in specification:
            yield f"{specification['LaunchTemplateId']}:{specification.get('Version', '$Default')}"
    yield from (one["ImageId"] for one in overrides if one.get("ImageId"))


def _launched(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The AMI (literally, or through a parameter) and the snapshots that launch data name."""
    disks = [mapping.get("Ebs", {}).get("SnapshotId") for mapping in data.get("BlockDeviceMappings", [])]
    return tuple(thing for thing in (data.get("ImageId"), *disks) if thing)


def _reported(thing: str) -> str:
    template, _, version = thing.partition(":")
    return f"launch template {template} version {version}" if thing.startswith("lt-") else thing
