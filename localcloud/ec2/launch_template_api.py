"""The launch template actions of the EC2 API: idempotent by token, built on source versions, paged, deletable."""

from __future__ import annotations

import base64
import copy
import hashlib
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import parse_user_data

from localcloud.ec2.launch_templates import resolve_image

MAX_TEMPLATES = 200
FILTERS = {"image-id": "ImageId", "instance-type": "InstanceType", "kernel-id": "KernelId", "ram-disk-id": "RamDiskId"}
_modify = EC2Response.modify_launch_template


def install() -> None:
    """Replace moto's actions."""
    for action in (
        create_launch_template,
        create_launch_template_version,
        describe_launch_templates,
        describe_launch_template_versions,
        delete_launch_template_versions,
        modify_launch_template,
    ):
        setattr(EC2Response, action.__name__, action)


def create_launch_template(self: Any) -> ActionResult:
    """moto: no ClientToken; the template's own tags become tags of everything launched."""
    self.error_on_dryrun()
    token, digest = self._get_param("ClientToken"), digest_of(self.params)
    for known in self.ec2_backend.launch_templates.values():
        if token and getattr(known, "client_token", None) == token:
            repeated(known, digest)
            return ActionResult({"LaunchTemplate": template_response(self, known)})
    tags = self._parse_tag_specification()
    template = self.ec2_backend.create_launch_template(
        self._get_param("LaunchTemplateName"), self._get_param("VersionDescription"), requested_launch_data(self), tags
    )
    template.client_token, template.asked = token, digest
    return ActionResult({"LaunchTemplate": template_response(self, template)})


def create_launch_template_version(self: Any) -> ActionResult:
    """moto: SourceVersion is ignored, UserData kept raw (a launch by a group then fails), no ClientToken."""
    self.error_on_dryrun()
    template, token, digest = requested_template(self), self._get_param("ClientToken"), digest_of(self.params)
    for known in template.versions:
        if token and getattr(known, "client_token", None) == token:
            repeated(known, digest)
            return ActionResult({"LaunchTemplateVersion": version_response(self, template, known)})
    data = requested_launch_data(self)
    if source := self._get_param("SourceVersion"):
        data = {**copy.deepcopy(template.get_version(source).data), **data}
    version = template.create_version(data, self._get_param("VersionDescription"))
    version.client_token, version.asked = token, digest
    return ActionResult({"LaunchTemplateVersion": version_response(self, template, version)})


def modify_launch_template(self: Any) -> ActionResult:
    """moto: does not understand `$Latest`."""
    if str(self._get_param("DefaultVersion")).startswith("$"):
        self.params["DefaultVersion"] = str(
            requested_template(self).get_version(self._get_param("DefaultVersion")).number
        )
    result: ActionResult = _modify(self)
    return result


def describe_launch_templates(self: Any) -> ActionResult:
    """moto: 15 and no NextToken; unknown ids are left out in silence."""
    self.error_on_dryrun()
    backend, ids = self.ec2_backend, self._get_param("LaunchTemplateIds", [])
    for template_id in ids:
        backend.get_launch_template(template_id)
    templates = backend.describe_launch_templates(
        template_names=self._get_param("LaunchTemplateNames", []),
        template_ids=ids,
        filters=self._filters_from_querystring(),
    )
    shown, token = page(self, templates)
    return ActionResult({"LaunchTemplates": [template_response(self, one) for one in shown], "NextToken": token})


def describe_launch_template_versions(self: Any) -> ActionResult:
    """moto: 15 and no NextToken, no filters, ranges by position."""
    self.error_on_dryrun()
    backend, asked = self.ec2_backend, self._get_param("Versions", [])
    named = self._get_param("LaunchTemplateName") or self._get_param("LaunchTemplateId")
    if (not named and set(asked) - {"$Latest", "$Default"}) or not (named or asked):
        raise EC2ClientError(
            "MissingParameter", "Name a launch template, or ask for the versions $Latest and $Default of all of them."
        )
    templates = [requested_template(self)] if named else list(backend.launch_templates.values())
    first, last = self._get_param("MinVersion"), self._get_param("MaxVersion")
    versions = [
        (template, version)
        for template in templates
        for version in ({template.get_version(one).number: template.get_version(one) for one in asked}.values()
                        if asked else template.versions)
        if (not first or version.number >= int(first)) and (not last or version.number <= int(last))
    ]  # fmt: skip
    for wanted in self._get_param("Filters", []):
        versions = [pair for pair in versions if matches_filter(*pair, wanted["Name"], wanted["Values"])]
    shown, token = page(self, versions)
    answers = [version_response(self, *pair) for pair in shown]
    if self._get_param("ResolveAlias"):
        for answer in answers:
            image = resolve_image(backend.region_name, backend.account_id, answer["LaunchTemplateData"])
            answer["LaunchTemplateData"] = answer["LaunchTemplateData"] | {"ImageId": image}
    return ActionResult({"LaunchTemplateVersions": answers, "NextToken": token})


def delete_launch_template_versions(self: Any) -> ActionResult:
    """moto has none. The default version cannot be deleted."""
    self.error_on_dryrun()
    template = requested_template(self)
    named = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name}
    deleted, kept = [], []
    for asked in self._get_param("Versions", []):
        version = next((one for one in template.versions if str(one.number) == str(asked)), None)
        if version is None:
            code = "launchTemplateVersionDoesNotExist"
            text = f"Could not find the specified version {asked} for the launch template with ID {template.id}."
            kept.append({**named, "VersionNumber": asked, "ResponseError": {"Code": code, "Message": text}})
        elif template.is_default(version):
            text = f"Version {asked} is the default version of the launch template and cannot be deleted."
            kept.append(
                {**named, "VersionNumber": asked, "ResponseError": {"Code": "unexpectedError", "Message": text}}
            )
        else:
            template.last_number = getattr(template, "last_number", len(template.versions))
            template.versions.remove(version)
            deleted.append({**named, "VersionNumber": version.number})
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": deleted,
            "UnsuccessfullyDeletedLaunchTemplateVersions": kept,
        }
    )


def matches_filter(template: Any, version: Any, name: str, values: list[str]) -> bool:
    if name == "is-default-version":
        return str(template.is_default(version)).lower() in values
    if name in FILTERS:
        return str(version.data.get(FILTERS[name])) in values
    raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")


def requested_template(response: Any) -> Any:
    backend, name = response.ec2_backend, response._get_param("LaunchTemplateName")
    if name:
        return backend.get_launch_template_by_name(name)
    return backend.get_launch_template(response._get_param("LaunchTemplateId"))


def requested_launch_data(response: Any) -> dict[str, Any]:
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


def page(response: Any, items: list[Any]) -> tuple[list[Any], str | None]:
    size, start = int(response._get_param("MaxResults") or MAX_TEMPLATES), 0
    if token := response._get_param("NextToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except ValueError:
            raise EC2ClientError("InvalidNextToken", f"The token '{token}' is invalid") from None
    end = start + size
    return items[start:end], base64.b64encode(str(end).encode()).decode() if end < len(items) else None


def digest_of(parameters: Any) -> str:
    asked = {name: value for name, value in parameters.items() if name != "DryRun"}
    return hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()


def repeated(known: Any, digest: str) -> None:
    if known.asked != digest:
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
