"""Parameter Store: Debian's public parameter, and the asynchronous validation of `aws:ec2:image` parameters."""

from __future__ import annotations

import re
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ssm.models import Parameter, ParameterDict, SimpleSystemManagerBackend

from localcloud.core.cloud import ACCOUNT, Cloud
from localcloud.core.overrides import replace_methods
from localcloud.core.queues import run_later
from localcloud.ec2.base_ami import base_ami_id

VALIDATION_SECONDS = 0.5
_put, _loaded = SimpleSystemManagerBackend.put_parameter, ParameterDict._check_loading_status


def install(cloud: Cloud) -> None:
    """Replace moto's methods."""

    def _check_loading_status(self: Any, key: str) -> None:
        """moto loads public parameters here, without Debian's: https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm"""
        _loaded(self, key)
        if str(key or "").startswith("/aws/service/debian"):
            name = debian_parameter_name(cloud)
            versions = dict.setdefault(self, name, [])
            image = base_ami_id(cloud, self.region_name)
            _ = ec2_backends[ACCOUNT][self.region_name].amis  # creates the region's backend with the image
            if not versions or versions[-1].value != image:
                versions.append(Parameter(
                    account_id=self.account_id, name=name, value=image, parameter_type="String", description=None,
                    allowed_pattern=None, keyid=None, last_modified_date=utcnow(), version=len(versions) + 1,
                    data_type="aws:ec2:image",
                ))  # fmt: skip

    def put_parameter(self: Any, *args: Any, **kwargs: Any) -> Any:
        """moto accepts any value as an AMI. AWS validates it after the reply, and deletes invalid versions.
        https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html"""
        parameter = _put(self, *args, **kwargs)
        if parameter.data_type == "aws:ec2:image":
            run_later(VALIDATION_SECONDS, validate, self, parameter)
        return parameter

    def validate(backend: Any, parameter: Any) -> None:
        image = ec2_backends[ACCOUNT][backend.region_name].amis.get(parameter.value)
        if re.fullmatch(r"ami-[0-9a-f]{8,17}", parameter.value) and image is not None and image.state == "available":
            return
        with cloud.change():
            versions = backend._parameters[parameter.name]
            if parameter in versions:
                versions.remove(parameter)
            if not versions:
                dict.pop(backend._parameters, parameter.name, None)

    replace_methods(ParameterDict, _check_loading_status)
    replace_methods(SimpleSystemManagerBackend, put_parameter)


def debian_parameter_name(cloud: Cloud) -> str:
    """Return the name of Debian's public parameter for the base image's architecture."""
    architecture = "arm64" if "arm64" in cloud.base.name else "amd64"
    return f"/aws/service/debian/release/12/latest/{architecture}"
