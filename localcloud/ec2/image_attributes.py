"""Attributes of AMIs that moto lacks: IMDS support, description, deprecation and deregistration protection.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageAttribute.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisableImageDeprecation.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeregistrationProtection.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisableImageDeregistrationProtection.html"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from localcloud.core.overrides import replace_methods
from localcloud.ec2.image_model import unavailable_error

_modify, _describe = EC2Response.modify_image_attribute, EC2Response.describe_image_attribute


def install() -> None:
    """Replace or add these actions."""
    replace_methods(
        EC2Response, modify_image_attribute, describe_image_attribute, enable_image_deprecation,
        disable_image_deprecation, enable_image_deregistration_protection, disable_image_deregistration_protection,
    )  # fmt: skip


def modify_image_attribute(self: Any) -> Any:
    """moto supports launch permissions only."""
    image = requested_image(self)
    attributes = {name: self._get_param(name) for name in ("ImdsSupport", "Description")}
    if (name := self._get_param("Attribute")) in ("imdsSupport", "description"):
        attributes[name[0].upper() + name[1:]] = {"Value": self._get_param("Value")}
    values = {name: value.get("Value") for name, value in attributes.items() if value is not None}
    if not values:
        return _modify(self)
    self.error_on_dryrun()
    if "ImdsSupport" in values:
        if values["ImdsSupport"] != "v2.0":
            raise EC2ClientError("InvalidParameterValue", "imdsSupport: the only supported value is v2.0")
        image.imds_support = "v2.0"
    if "Description" in values:
        image.description = values["Description"]
    return EmptyResult()


def describe_image_attribute(self: Any) -> Any:
    """moto fails on imdsSupport, and writes the result's fields in lower case."""
    image = requested_image(self, private=False)
    values = {
        "imdsSupport": ("ImdsSupport", image.imds_support),
        "description": ("Description", image.description),
        "bootMode": ("BootMode", image.boot_mode),
    }
    if (attribute := self._get_param("Attribute")) in values:
        name, value = values[attribute]
        return ActionResult({"ImageId": image.id, name: {"Value": value} if value else {}})
    return _describe(self)


def enable_image_deprecation(self: Any) -> Any:
    at = self._get_param("DeprecateAt")
    requested_image(self).deprecation_time = at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return ActionResult({"Return": True})


def disable_image_deprecation(self: Any) -> Any:
    requested_image(self).deprecation_time = None
    return ActionResult({"Return": True})


def enable_image_deregistration_protection(self: Any) -> Any:
    requested_image(self).deregistration_protection = "enabled-without-cooldown"
    return ActionResult({"Return": "true"})


def disable_image_deregistration_protection(self: Any) -> Any:
    requested_image(self).deregistration_protection = "disabled"
    return ActionResult({"Return": "true"})


def requested_image(response: Any, *, private: bool = True) -> Any:
    """Return the request's image. Raises EC2ClientError if it belongs to another account and `private` is True."""
    images = response.ec2_backend.describe_images(ami_ids=[response._get_param("ImageId")])
    if not images:
        raise unavailable_error(response._get_param("ImageId"))
    if private and images[0].owner_id != response.ec2_backend.account_id:
        raise EC2ClientError("AuthFailure", f"Not authorized for image:{images[0].id}")
    return images[0]
