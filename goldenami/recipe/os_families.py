"""The supported operating-system families and their differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Architecture = Literal["x86_64", "arm64"]
FamilyName = Literal["amazon-linux-2023", "debian-12", "ubuntu-24.04"]


@dataclass(frozen=True)
class Family:
    """An operating-system family.

    Attributes:
        name: Name in the recipe.
        user: Login user of the vendor's AMI.
        root_device: Device name of the vendor AMI's root volume.
        packages: Package manager: `apt` or `dnf`.
        ami_parameters: Public parameter of the vendor with the newest AMI id, by architecture.
        postgresql: Major versions of PostgreSQL in the distribution.
        go: Go versions (`MAJOR.MINOR`) in the distribution; empty if its updates change them.
    """

    name: FamilyName
    user: str
    root_device: str
    packages: Literal["apt", "dnf"]
    ami_parameters: Mapping[Architecture, str]
    postgresql: tuple[int, ...]
    go: tuple[str, ...]

    def ami_parameter(self, architecture: Architecture) -> str:
        """Return the public parameter that holds the source AMI's id."""
        return self.ami_parameters[architecture]


def _by_architecture(pattern: str, x86_64: str) -> Mapping[Architecture, str]:
    return MappingProxyType({"x86_64": pattern.format(x86_64), "arm64": pattern.format("arm64")})


FAMILIES: Mapping[FamilyName, Family] = MappingProxyType(
    {
        # https://docs.aws.amazon.com/linux/al2023/ug/ec2.html
        "amazon-linux-2023": Family(
            name="amazon-linux-2023",
            user="ec2-user",
            root_device="/dev/xvda",
            packages="dnf",
            ami_parameters=_by_architecture(
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}", "x86_64"
            ),
            postgresql=(15, 16, 17),
            go=(),
        ),
        # https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm
        "debian-12": Family(
            name="debian-12",
            user="admin",
            root_device="/dev/xvda",
            packages="apt",
            ami_parameters=_by_architecture("/aws/service/debian/release/12/latest/{}", "amd64"),
            postgresql=(15,),
            go=("1.19",),
        ),
        # https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
        "ubuntu-24.04": Family(
            name="ubuntu-24.04",
            user="ubuntu",
            root_device="/dev/sda1",
            packages="apt",
            ami_parameters=_by_architecture(
                "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id", "amd64"
            ),
            postgresql=(16,),
            go=("1.22",),
        ),
    }
)
