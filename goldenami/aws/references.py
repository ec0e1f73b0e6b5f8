"""Scan an account for everything that references AMIs and snapshots. Reads only, page by page.

With the result of an earlier scan, only what may have changed since is read: a launch template version never changes, and
a parameter's version and date show whether it has changed.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from goldenami.aws import parameters
from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.model.references import Pointers, Reference, ReferenceIndex, TemplateReferences

# A terminated instance never starts again.
_LIVE_STATES = ["pending", "running", "shutting-down", "stopping", "stopped"]


def read_references(
    aws: AwsSession, pointers: Pointers, *, previous: ReferenceIndex | None = None, ami: str = ""
) -> ReferenceIndex:
    """Return the references to AMIs and snapshots in the account; `ami` limits instances to those of one AMI.

    What cannot have changed since `previous`, an earlier scan, is not read again. The parameters of `pointers` always are,
    since a label may move without a new version.
    """
    configurations = _configurations(aws)
    launched = [
        Reference(resource_id, "configuration", f"launch configuration {name}")
        for name, resource_ids in configurations.items()
        for resource_id in resource_ids
    ]
    return ReferenceIndex(
        references=(*_instances(aws, ami), *_groups(aws, configurations), *launched),
        templates=_templates(aws, previous.templates if previous else {}),
        parameters=parameters.list_image_parameters(
            aws,
            frozenset({pointers.production, pointers.candidate}),
            previous.parameters if previous else {},
            skip_path=f"{pointers.path}/inventory",
        ),
    )


def image_references(aws: AwsSession, ami: str) -> tuple[Reference, ...]:
    """Return the references to an AMI that EC2 reports, which include Image Builder's recipes but are not complete."""
    paginator = aws.client("ec2").get_paginator("describe_image_references")
    pages = paginator.paginate(ImageIds=[ami], IncludeAllResourceTypes=True)
    found = [reference for page in pages for reference in page.get("ImageReferences", [])]
    names = [reference.get("Arn") or reference.get("ResourceType", "a resource") for reference in found]
    return tuple(Reference(ami, "hint", f"EC2 reports that {name} uses it") for name in names)


def _instances(aws: AwsSession, ami: str) -> Iterator[Reference]:
    filters: list[Any] = [{"Name": "instance-state-name", "Values": _LIVE_STATES}]
    if ami:
        filters.append({"Name": "image-id", "Values": [ami]})
    paginator = aws.client("ec2").get_paginator("describe_instances")
    for page in paginator.paginate(Filters=filters, PaginationConfig={"PageSize": 1000}):
        for instance in (i for reservation in page["Reservations"] for i in reservation["Instances"]):
            state = instance["State"]["Name"]
            yield Reference(instance.get("ImageId", ""), "instance", f"instance {instance['InstanceId']} ({state})")


def _templates(aws: AwsSession, previous: Mapping[str, TemplateReferences]) -> dict[str, TemplateReferences]:
    ec2 = aws.client("ec2")
    pages = ec2.get_paginator("describe_launch_templates").paginate(PaginationConfig={"PageSize": 200})
    templates = {}
    for template in (template for page in pages for template in page["LaunchTemplates"]):
        identity, latest = template["LaunchTemplateId"], template["LatestVersionNumber"]
        known = previous.get(identity)
        resource_ids = dict(known.resource_ids) if known else {}
        if known is None or known.latest != latest:
            resource_ids |= _versions(aws, identity, known.latest if known else 0)
        templates[identity] = TemplateReferences(
            template["LaunchTemplateName"], template["DefaultVersionNumber"], latest, resource_ids
        )
    return templates


def _versions(aws: AwsSession, template: str, after: int) -> dict[int, tuple[str, ...]]:
    """Return what the versions of a template after this one reference; nothing if it has been deleted meanwhile."""
    since: dict[str, Any] = {"MinVersion": str(after)} if after else {}
    paginator = aws.client("ec2").get_paginator("describe_launch_template_versions")
    pages = paginator.paginate(LaunchTemplateId=template, **since, PaginationConfig={"PageSize": 200})
    with suppress("InvalidLaunchTemplateId.NotFound"):
        return {
            version["VersionNumber"]: resource_ids
            for page in pages
            for version in page["LaunchTemplateVersions"]
            if (resource_ids := _launched(version.get("LaunchTemplateData", {})))
        }
    return {}


def _groups(aws: AwsSession, configurations: Mapping[str, tuple[str, ...]]) -> Iterator[Reference]:
    paginator = aws.client("autoscaling").get_paginator("describe_auto_scaling_groups")
    pages = paginator.paginate(PaginationConfig={"PageSize": 100})
    for group in (group for page in pages for group in page["AutoScalingGroups"]):
        name, configuration = group["AutoScalingGroupName"], group.get("LaunchConfigurationName", "")
        for resource_id in _desired(group):
            yield Reference(resource_id, "group", f"Auto Scaling group {name} launches it ({_label(resource_id)})")
        for resource_id in configurations.get(configuration, ()):
            yield Reference(resource_id, "group", f"Auto Scaling group {name} launches it ({configuration})")
        for refresh in _refreshes(aws, name):
            by = f"instance refresh {refresh['InstanceRefreshId']} of {name} ({refresh['Status']})"
            for resource_id in _desired(refresh.get("DesiredConfiguration", {})):
                yield Reference(resource_id, "refresh", f"{by} launches it ({_label(resource_id)})")


def _refreshes(aws: AwsSession, group: str) -> Sequence[Mapping[str, Any]]:
    """Return the group's instance refreshes of the last six weeks; none if the group has been deleted meanwhile."""
    client = aws.client("autoscaling")
    with suppress("ValidationError"):
        return client.describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=100)["InstanceRefreshes"]
    return ()


def _configurations(aws: AwsSession) -> dict[str, tuple[str, ...]]:
    paginator = aws.client("autoscaling").get_paginator("describe_launch_configurations")
    pages = paginator.paginate(PaginationConfig={"PageSize": 100})
    return {c["LaunchConfigurationName"]: _launched(c) for page in pages for c in page["LaunchConfigurations"]}


def _desired(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the launch template versions and AMIs of a group or of a refresh's desired configuration."""
    mixed = configuration.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    overrides = mixed.get("Overrides", [])
    mixed_ones = [each.get("LaunchTemplateSpecification", {}) for each in (mixed, *overrides)]
    for specification in [configuration.get("LaunchTemplate", {}), *mixed_ones]:
        if "LaunchTemplateId" in specification:
            yield f"{specification['LaunchTemplateId']}:{specification.get('Version', '$Default')}"
    yield from (override["ImageId"] for override in overrides if override.get("ImageId"))


def _launched(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the AMI (an id, or a parameter to resolve) and the snapshots of launch data."""
    disks = [mapping.get("Ebs", {}).get("SnapshotId") for mapping in data.get("BlockDeviceMappings", [])]
    return tuple(resource_id for resource_id in (data.get("ImageId"), *disks) if resource_id)


def _label(resource_id: str) -> str:
    template, _, version = resource_id.partition(":")
    return f"launch template {template} version {version}" if resource_id.startswith("lt-") else resource_id
