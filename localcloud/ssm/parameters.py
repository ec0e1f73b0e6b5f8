"""Parameter Store: Debian's public parameter, and the late validation of `aws:ec2:image` parameters."""

from __future__ import annotations

import re
import threading
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ssm.models import Parameter, ParameterDict, SimpleSystemManagerBackend

from localcloud.core.cloud import ACCOUNT, Cloud
from localcloud.ec2.base_ami import base_ami_id

VALIDATION_SECONDS = 0.5
_put, _loaded = SimpleSystemManagerBackend.put_parameter, ParameterDict._check_loading_status


def install(cloud: Cloud) -> None:
    """Replace moto's methods by these. May be called again with another cloud."""

    def check_loading_status(self: Any, key: str) -> None:
        """moto loads public parameters on demand here; Debian's is added, with today's base image."""
        _loaded(self, key)
        # Debian's own name: https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm
        if str(key or "").startswith("/aws/service/debian"):
            public = debian_parameter_name(cloud)
            versions = dict.setdefault(self, public, [])
            image = base_ami_id(cloud, self.region_name)
            _ = ec2_backends[ACCOUNT][self.region_name].amis  # makes the region, and with it the image
            if not versions or versions[-1].value != image:
                versions.append(
                    Parameter(
                        account_id=self.account_id,
                        name=public,
                        value=image,
                        parameter_type="String",
                        description=None,
                        allowed_pattern=None,
                        keyid=None,
                        last_modified_date=utcnow(),
                        version=len(versions) + 1,
                        data_type="aws:ec2:image",
                    )
                )

    def put_parameter(self: Any, *given: Any, **asked: Any) -> Any:
        """moto: accepts anything as an AMI. AWS answers first and validates then; what fails is not kept.

        https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html
        """
        parameter = _put(self, *given, **asked)
        if parameter.data_type == "aws:ec2:image":
            timer = threading.Timer(VALIDATION_SECONDS, validate, (self, parameter))
            timer.daemon = True
            timer.start()
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

    ParameterDict._check_loading_status = check_loading_status
    SimpleSystemManagerBackend.put_parameter = put_parameter


def debian_parameter_name(cloud: Cloud) -> str:
    architecture = "arm64" if "arm64" in cloud.base.name else "amd64"
    return f"/aws/service/debian/release/12/latest/{architecture}"
