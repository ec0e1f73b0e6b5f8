"""The recipe's sections [targets.local] and [targets.aws]."""

from __future__ import annotations

from typing import Annotated, Literal

from goldenami.recipe.fields import (
    Frozen,
    InstanceProfile,
    InstanceTypeOrNone,
    KmsKey,
    Network,
    Profile,
    Region,
    Section,
    SecurityGroupId,
    SubnetId,
    Url,
    field,
    flag,
)

TargetName = Literal["local", "aws"]


class Target(Section):
    """An account and region to work in. Every key is optional."""

    region: Region = field(
        "ap-northeast-2",
        description="AWS region.",
        expected="a region such as ap-northeast-2",
        example="ap-northeast-2",
    )
    profile: Profile = field(
        "",
        description="Profile of ~/.aws/config; empty means the default credential chain.",
        expected="the name of a profile",
        example="bakery",
    )
    instance_type: InstanceTypeOrNone = field(
        "",
        description="Instance type of the builder; empty means `[instance] type`.",
        expected="an instance type such as t3.small",
        example="t3.small",
    )
    subnet_id: SubnetId = field(
        "",
        description="Subnet of the builder; empty means the default VPC.",
        expected="a subnet id such as subnet-0123456789abcdef0",
        example="subnet-0123456789abcdef0",
    )
    security_group_ids: Annotated[tuple[SecurityGroupId, ...], Frozen] = field(
        (),
        description="Security groups of the builder; empty means a temporary one that allows SSH.",
        expected="a list of security group ids such as sg-0123456789abcdef0",
        example=["sg-0123456789abcdef0"],
    )
    ssh_cidrs: Annotated[tuple[Network, ...], Frozen] = field(
        (),
        description="Networks that may reach the builder by SSH through the temporary security group;"
        " empty means this machine's public address (found by Packer 1.7 and newer).",
        expected="a list of networks such as 203.0.113.7/32",
        example=["203.0.113.7/32"],
    )
    allow_open_ssh: bool = flag(False, "Allow the whole internet as a network in `ssh_cidrs`.")
    public_ip: bool | None = field(
        None,
        description="Assign a public address to the builder in `subnet_id`; if omitted, the subnet's setting applies.",
        expected="true or false",
        example=True,
    )
    iam_instance_profile: InstanceProfile = field(
        "",
        description="Instance profile of the builder, whose role reads the application's parameters;"
        " empty means a minimal one that goldenami creates.",
        expected="the name of an instance profile",
        example="guestbook-builder",
    )
    kms_key_id: KmsKey = field(
        "",
        description="KMS key to encrypt the image with; empty means the account's default key for EBS.",
        expected="a KMS key id, alias/NAME or ARN",
        example="alias/golden",
    )
    endpoint_url: Url = field(
        "",
        description="Endpoint of the AWS API: a private endpoint or an emulator.",
        expected="an http or https URL",
        example="https://ec2.internal.example:8443",
    )


class LocalTarget(Target):
    """The embedded cloud on this machine."""

    ssh_cidrs: Annotated[tuple[Network, ...], Frozen] = field(
        ("127.0.0.0/8",),
        description="Networks that may reach the builder by SSH; by default only this machine.",
        expected="a list of networks such as 127.0.0.0/8",
        example=["127.0.0.0/8"],
    )


class Targets(Section):
    """The targets of a recipe."""

    local: LocalTarget = field(LocalTarget(), description="The embedded cloud on this machine.", example={})
    aws: Target = field(Target(), description="Your AWS account.", example={})
