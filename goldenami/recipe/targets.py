"""Where an image is baked: the `[targets.local]` and `[targets.aws]` sections."""

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
)

TargetName = Literal["local", "aws"]


class Target(Section):
    """An account and region to bake in. Every key may be left out."""

    region: Region = field(
        "ap-northeast-2",
        description="The AWS region.",
        expected="a region such as ap-northeast-2",
        example="ap-northeast-2",
    )
    profile: Profile = field(
        "",
        description="A profile of ~/.aws/config; empty follows the ordinary credential chain.",
        expected="the name of a profile",
        example="bakery",
    )
    instance_type: InstanceTypeOrNone = field(
        "",
        description="The instance type that builds; empty takes `[instance] type`.",
        expected="an instance type such as t3.small",
        example="t3.small",
    )
    subnet_id: SubnetId = field(
        "",
        description="The subnet of the builder; empty takes the default VPC.",
        expected="a subnet id such as subnet-0123456789abcdef0",
        example="subnet-0123456789abcdef0",
    )
    security_group_ids: Annotated[tuple[SecurityGroupId, ...], Frozen] = field(
        (),
        description="Security groups of the builder; empty makes a temporary one that lets SSH in.",
        expected="a list of security group ids such as sg-0123456789abcdef0",
        example=["sg-0123456789abcdef0"],
    )
    ssh_cidrs: Annotated[tuple[Network, ...], Frozen] = field(
        (),
        description="Networks from which SSH may reach the builder through the temporary security group;"
        " empty means this machine's public address (found by Packer 1.7 and newer).",
        expected="a list of networks such as 203.0.113.7/32",
        example=["203.0.113.7/32"],
    )
    allow_open_ssh: bool = field(
        False,
        description="Allow a network in ssh_cidrs that is the whole internet.",
        expected="true or false",
        example=True,
    )
    public_ip: bool | None = field(
        None,
        description="Whether the builder gets a public address in `subnet_id`; left out, the subnet decides.",
        expected="true or false",
        example=True,
    )
    iam_instance_profile: InstanceProfile = field(
        "",
        description="The instance profile whose role reads the application's parameters while it is built;"
        " empty lets goldenami make a narrow one.",
        expected="the name of an instance profile",
        example="guestbook-builder",
    )
    kms_key_id: KmsKey = field(
        "",
        description="The KMS key that encrypts the image; empty takes the account's default key for EBS.",
        expected="a KMS key id, alias/NAME or ARN",
        example="alias/golden",
    )
    endpoint_url: Url = field(
        "",
        description="Another address of the AWS API: a private endpoint or an emulator.",
        expected="an http or https URL",
        example="https://ec2.internal.example:8443",
    )


class LocalTarget(Target):
    """The embedded cloud on this machine."""

    ssh_cidrs: Annotated[tuple[Network, ...], Frozen] = field(
        ("127.0.0.0/8",),
        description="Networks from which SSH may reach the builder; only this machine itself unless said otherwise.",
        expected="a list of networks such as 127.0.0.0/8",
        example=["127.0.0.0/8"],
    )


class Targets(Section):
    """The targets that the recipe may name."""

    local: LocalTarget = field(LocalTarget(), description="The embedded cloud on this machine.", example={})
    aws: Target = field(Target(), description="Your AWS account.", example={})
