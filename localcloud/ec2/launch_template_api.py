"""The launch template actions of the EC2 API: idempotent, based on source versions, paginated, and deletable."""

from __future__ import annotations

import copy
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import parse_user_data

from localcloud.core.overrides import replace_methods
from localcloud.core.pagination import paginate
from localcloud.ec2.idempotency import find_created, remember
from localcloud.ec2.launch_templates import resolve_image

MAX_TEMPLATES = 200
FILTERS = {"image-id": "ImageId", "instance-type": "InstanceType", "kernel-id": "KernelId", "ram-disk-id": "RamDiskId"}
_modify = EC2Response.modify_launch_template


def install() -> None:
    """Replace moto's actions."""
    replace_methods(
        EC2Response, create_launch_template, create_launch_template_version, describe_launch_templates,
        describe_launch_template_versions, delete_launch_template_versions, modify_launch_template,
    )  # fmt: skip


def create_launch_template(self: Any) -> ActionResult:
    """moto ignores ClientToken, and applies the template's own tags to everything launched.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html"""
    self.error_on_dryrun()
    if (template := find_created(self, self.ec2_backend.launch_templates.values())) is None:
        template = self.ec2_backend.create_launch_template(
            self._get_param("LaunchTemplateName"),
            self._get_param("VersionDescription"),
            requested_launch_data(self),
            self._parse_tag_specification(),
        )
        remember(self, template)
    return ActionResult({"LaunchTemplate": template_response(self, template)})


def create_launch_template_version(self: Any) -> ActionResult:
    """moto ignores SourceVersion and ClientToken, and keeps UserData encoded, so that launches by a group fail.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html"""
    self.error_on_dryrun()
    template = requested_template(self)
    if (version := find_created(self, template.versions)) is None:
        data = requested_launch_data(self)
        if source := self._get_param("SourceVersion"):
            data = {**copy.deepcopy(template.get_version(source).data), **data}
        version = template.create_version(data, self._get_param("VersionDescription"))
        remember(self, version)
    return ActionResult({"LaunchTemplateVersion": version_response(self, template, version)})


def modify_launch_template(self: Any) -> ActionResult:
    """moto does not resolve `$Latest`. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyLaunchTemplate.html"""
    if str(version := self._get_param("DefaultVersion")).startswith("$"):
        self.params["DefaultVersion"] = str(requested_template(self).get_version(version).number)
    result: ActionResult = _modify(self)
    return result


def describe_launch_templates(self: Any) -> ActionResult:
    """moto returns at most 15 without a NextToken, and ignores unknown ids.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html"""
    self.error_on_dryrun()
    backend, ids = self.ec2_backend, self._get_param("LaunchTemplateIds", [])
    for template_id in ids:
        backend.get_launch_template(template_id)
    templates = backend.describe_launch_templates(
        template_names=self._get_param("LaunchTemplateNames", []),
        template_ids=ids,
        filters=self._filters_from_querystring(),
    )
    page, token = paginate(templates, page_size(self), self._get_param("NextToken"), EC2ClientError)
    responses = [template_response(self, template) for template in page]
    return ActionResult({"LaunchTemplates": responses, "NextToken": token})


def describe_launch_template_versions(self: Any) -> ActionResult:
    """moto returns at most 15 without a NextToken, ignores filters, and takes ranges by position.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html"""
    self.error_on_dryrun()
    backend, numbers = self.ec2_backend, self._get_param("Versions", [])
    named = self._get_param("LaunchTemplateName") or self._get_param("LaunchTemplateId")
    if (not named and set(numbers) - {"$Latest", "$Default"}) or not (named or numbers):
        text = "Specify a launch template, or the versions $Latest and $Default of all launch templates."
        raise EC2ClientError("MissingParameter", text)
    templates = [requested_template(self)] if named else list(backend.launch_templates.values())
    first, last = self._get_param("MinVersion"), self._get_param("MaxVersion")
    versions = [
        (template, version)
        for template in templates
        for version in selected_versions(template, numbers)
        if (not first or version.number >= int(first)) and (not last or version.number <= int(last))
    ]
    for spec in self._get_param("Filters", []):
        versions = [pair for pair in versions if matches_filter(*pair, spec["Name"], spec["Values"])]
    page, token = paginate(versions, page_size(self), self._get_param("NextToken"), EC2ClientError)
    responses = [version_response(self, *pair) for pair in page]
    if self._get_param("ResolveAlias"):
        for response in responses:
            image = resolve_image(backend.region_name, backend.account_id, response["LaunchTemplateData"])
            response["LaunchTemplateData"] = response["LaunchTemplateData"] | {"ImageId": image}
    return ActionResult({"LaunchTemplateVersions": responses, "NextToken": token})


def selected_versions(template: Any, numbers: list[str]) -> list[Any]:
    """Return the template's versions with these numbers or aliases, each once; all versions if there are none."""
    if not numbers:
        return list(template.versions)
    return list({version.number: version for version in map(template.get_version, numbers)}.values())


def delete_launch_template_versions(self: Any) -> ActionResult:
    """moto lacks the action. The default version cannot be deleted.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteLaunchTemplateVersions.html"""
    self.error_on_dryrun()
    template = requested_template(self)
    ids = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name}
    deleted, failed = [], []

    def fail(number: str, code: str, message: str) -> None:
        failed.append({**ids, "VersionNumber": number, "ResponseError": {"Code": code, "Message": message}})

    for number in self._get_param("Versions", []):
        version = next((version for version in template.versions if str(version.number) == str(number)), None)
        if version is None:
            message = f"Could not find the specified version {number} for the launch template with ID {template.id}."
            fail(number, "launchTemplateVersionDoesNotExist", message)
        elif template.is_default(version):
            message = f"Version {number} is the default version of the launch template and cannot be deleted."
            fail(number, "unexpectedError", message)
        else:
            template.last_number = getattr(template, "last_number", len(template.versions))
            template.versions.remove(version)
            deleted.append({**ids, "VersionNumber": version.number})
    return ActionResult(
        {"SuccessfullyDeletedLaunchTemplateVersions": deleted, "UnsuccessfullyDeletedLaunchTemplateVersions": failed}
    )


def matches_filter(template: Any, version: Any, name: str, values: list[str]) -> bool:
    """Return True if a version matches a filter of DescribeLaunchTemplateVersions."""
    if name == "is-default-version":
        return str(template.is_default(version)).lower() in values
    if name in FILTERS:
        return str(version.data.get(FILTERS[name])) in values
    raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")


def requested_template(response: Any) -> Any:
    """Return the launch template that the request names."""
    backend, name = response.ec2_backend, response._get_param("LaunchTemplateName")
    if name:
        return backend.get_launch_template_by_name(name)
    return backend.get_launch_template(response._get_param("LaunchTemplateId"))


def requested_launch_data(response: Any) -> dict[str, Any]:
    """Return the request's LaunchTemplateData with decoded UserData."""
    data = copy.deepcopy(dict(response._get_param("LaunchTemplateData", {})))
    if data.get("UserData"):
        data["UserData"] = parse_user_data(data["UserData"])
    return data


def template_response(response: Any, template: Any) -> dict[str, Any]:
    return {
        "CreateTime": template.create_time,
        "CreatedBy": f"arn:{response.partition}:iam::{response.current_account}:root",
        "DefaultVersionNumber": template.default_version_number,
        "LatestVersionNumber": template.latest_version_number,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Tags": template.get_tags(),
    }


def version_response(response: Any, template: Any, version: Any) -> dict[str, Any]:
    return {
        "CreateTime": version.create_time,
        "CreatedBy": f"arn:{response.partition}:iam::{response.current_account}:root",
        "DefaultVersion": template.is_default(version),
        "LaunchTemplateData": version.data,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionDescription": version.description,
        "VersionNumber": version.number,
    }


def page_size(response: Any) -> int:
    return int(response._get_param("MaxResults") or MAX_TEMPLATES)
