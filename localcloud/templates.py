"""Versions of launch templates: built on their source version, with user data that instances can read."""

from __future__ import annotations

import copy
from typing import Any

from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.ec2.responses import EC2Response
from moto.ec2.utils import parse_user_data

_create_version = EC2Response.create_launch_template_version


def install() -> None:
    """Replace moto's action."""
    EC2Response.create_launch_template_version = create_launch_template_version


def create_launch_template_version(self: Any) -> Any:
    """moto: SourceVersion is ignored, and UserData kept raw, on which a launch by a group then fails."""
    data = dict(self._get_param("LaunchTemplateData", {}))
    if isinstance(data.get("UserData"), str):
        data["UserData"] = parse_user_data(data["UserData"])
    if source := self._get_param("SourceVersion"):
        name, template_id = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
        backend = self.ec2_backend
        template = backend.get_launch_template_by_name(name) if name else backend.get_launch_template(template_id)
        former: LaunchTemplateVersion = template.get_version(source)
        data = {**copy.deepcopy(former.data), **data}
    self.params["LaunchTemplateData"] = data
    return _create_version(self)
