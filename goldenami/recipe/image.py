"""The recipe's sections [image], [runtime], [instance] and [[copies]]."""

from __future__ import annotations

from typing import Annotated, Literal

from goldenami.recipe.fields import (
    AccountId,
    AmiId,
    Environment,
    Frozen,
    GoVersion,
    HttpsUrl,
    ImageName,
    InstanceType,
    KmsKey,
    PackageName,
    Profile,
    Region,
    Section,
    Sha256,
    field,
    flag,
    number,
)
from goldenami.recipe.os_families import FAMILIES, Architecture, Family, FamilyName


class RootVolume(Section):
    """The root volume of the image."""

    size_gib: int = number(8, 2, 16384, "Size; at least that of the source AMI (8 for the vendors' AMIs).", unit="GiB")
    type: Literal["gp3", "gp2"] = field("gp3", description="EBS volume type.", expected='"gp3" or "gp2"', example="gp3")
    iops: int = number(3000, 3000, 16000, "Provisioned IOPS (gp3 only; 3000 are included in the price).")
    throughput: int = number(
        125, 125, 1000, "Provisioned throughput in MiB/s (gp3 only; 125 are included in the price)."
    )
    encrypted: bool = flag(True, "Encrypt the image's snapshots.")


class Image(Section):
    """The image: its name, operating system and version policy."""

    name: ImageName = field(
        description="Name of the image, of its systemd service and of its AMIs (`NAME-golden-v1.0`).",
        expected="a lower-case name of 1 to 40 letters, digits and hyphens, beginning with a letter",
        example="guestbook",
    )
    family: FamilyName = field(
        "debian-12",
        description="Operating-system family.",
        expected='"amazon-linux-2023", "debian-12" or "ubuntu-24.04"',
        example="debian-12",
    )
    architecture: Architecture = field(
        "x86_64", description="Processor architecture.", expected='"x86_64" or "arm64"', example="x86_64"
    )
    environment: Environment = field(
        "production",
        description="Environment of the image; becomes a tag.",
        expected="a word of at most 32 letters, digits and hyphens",
        example="production",
    )
    version_policy: Literal["minor", "major", "patch", "month"] = field(
        "minor",
        description="Part of the version that a bake increments: v1.0 to v1.1, v2.0 or v1.0.1; `month` gives v1.202510.",
        expected='"minor", "major", "patch" or "month"',
        example="minor",
    )
    source_ami: AmiId = field(
        "",
        description="Source AMI; empty means the newest one that the vendor publishes.",
        expected="an AMI id such as ami-0123456789abcdef0",
        example="ami-0123456789abcdef0",
    )
    root_volume: RootVolume = field(RootVolume(), description="Root volume of the image.", example={})

    @property
    def os(self) -> Family:
        """Operating-system family of the image."""
        return FAMILIES[self.family]


class Go(Section):
    """The Go toolchain that builds the application."""

    version: GoVersion = field(
        description="Version of Go: MAJOR.MINOR from the distribution, the full version from go.dev.",
        expected="a Go version such as 1.19 or 1.23.0",
        example="1.19",
    )
    source: Literal["distribution", "go.dev"] = field(
        "distribution",
        description="Source of Go: the distribution's package, or the tarball of go.dev.",
        expected='"distribution" or "go.dev"',
        example="distribution",
    )
    sha256: Sha256 = field(
        "",
        description="SHA-256 of the tarball (go.dev only), as listed at https://go.dev/dl/.",
        expected="64 lower-case hexadecimal digits",
        example="905a297f19ead44780548933e0ff1a1b86e8327bb459e92f9c0012569f76f5e3",
    )
    url: HttpsUrl = field(
        "",
        description="URL of the tarball if not go.dev's own, such as your mirror (go.dev only).",
        expected="an https URL",
        example="https://mirror.example/go1.23.0.linux-amd64.tar.gz",
    )


class PostgreSQL(Section):
    """The database server in the image."""

    version: int = field(
        description="Major version of PostgreSQL; the family must have it.",
        expected="a major version such as 15",
        example=15,
        ge=9,
    )


class Runtime(Section):
    """The software that the application needs to be built and run."""

    go: Go = field(description="Go toolchain.", example={})
    postgresql: PostgreSQL = field(description="PostgreSQL server.", example={})
    packages: Annotated[tuple[PackageName, ...], Frozen] = field(
        (),
        description="Additional packages of the distribution.",
        expected="a list of package names",
        example=["golang-github-lib-pq-dev"],
    )


class Instance(Section):
    """The EC2 instances that run the image."""

    type: InstanceType = field(
        "t3.micro",
        description="Instance type of the fleet, and of the builder unless the target sets another.",
        expected="an instance type such as t3.micro",
        example="t3.micro",
    )


class CopyTarget(Section):
    """A region, of this account or another one, that images are copied to."""

    region: Region = field(
        description="AWS region of the copy.", expected="a region such as us-east-1", example="us-east-1"
    )
    profile: Profile = field(
        "",
        description="Profile of ~/.aws/config for another account, which then owns the copy; empty means the same account.",
        expected="the name of a profile",
        example="production",
    )
    kms_key_id: KmsKey = field(
        "",
        description="KMS key of that region to encrypt the copy with; empty means the account's default key for EBS.",
        expected="a KMS key id, alias/NAME or ARN",
        example="alias/golden",
    )
    share_with: Annotated[tuple[AccountId, ...], Frozen] = field(
        (),
        description="Accounts that may launch the copy; an encrypted copy needs a `kms_key_id` whose key policy allows them.",
        expected="a list of account ids of 12 digits",
        example=["210987654321"],
    )
    publish: bool = flag(
        True, "Publish the copy as the region's candidate: the parameter that `promote --candidate` reads."
    )
