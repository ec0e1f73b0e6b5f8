"""Attributes of AMIs that moto lacks: IMDS support, description, deprecation, deregistration protection."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

_modify, _describe = EC2Response.modify_image_attribute, EC2Response.describe_image_attribute


def install() -> None:
    """Replace or add these actions."""

    def modify_image_attribute(self: Any) -> Any:
        """moto: launch permissions only."""
        image = requested_image(self)
        asked = {name: self._get_param(name) for name in ("ImdsSupport", "Description")}
        single, value = self._get_param("Attribute"), self._get_param("Value")
        if single == "imdsSupport":
            asked["ImdsSupport"] = {"Value": value}
        elif single == "description":
            asked["Description"] = {"Value": value}
        given = {name: (one or {}).get("Value") for name, one in asked.items() if one is not None}
        if not given:
            return _modify(self)
        self.error_on_dryrun()
        if "ImdsSupport" in given:
            if (
                given["ImdsSupport"] != "v2.0"
            ):  # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html
                raise EC2ClientError("InvalidParameterValue", "imdsSupport: the only supported value is v2.0")
            image.imds_support = "v2.0"
        if "Description" in given:
            image.description = given["Description"]
        return EmptyResult()

    def describe_image_attribute(self: Any) -> Any:
        """moto: fails on imdsSupport, and names the result's fields as the request does."""
        image = requested_image(self, private=False)
        values = {
            "imdsSupport": ("ImdsSupport", image.imds_support),
            "description": ("Description", image.description),
            "bootMode": ("BootMode", image.boot_mode),
        }
        if (asked := self._get_param("Attribute")) in values:
            name, value = values[asked]
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

    for action in (
        modify_image_attribute,
        describe_image_attribute,
        enable_image_deprecation,
        disable_image_deprecation,
        enable_image_deregistration_protection,
        disable_image_deregistration_protection,
    ):
        setattr(EC2Response, action.__name__, action)


def requested_image(response: Any, *, private: bool = True) -> Any:
    """The request's image; EC2 lets nobody change the image of another account."""
    image = response.ec2_backend.describe_images(ami_ids=[response._get_param("ImageId")])
    if not image:
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{response._get_param('ImageId')}' is gone")
    if private and image[0].owner_id != response.ec2_backend.account_id:
        raise EC2ClientError("AuthFailure", f"Not authorized for image:{image[0].id}")
    return image[0]
