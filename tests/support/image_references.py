"""Every kind of reference to an image in an account, each added to an account by its name."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.support.large_account import NAME, LargeAccount, ami

CANDIDATE, PRODUCTION = f"/goldenami/{NAME}/candidate", f"/goldenami/{NAME}/production"
KEEP, SOURCE_AMI = "goldenami:keep", "goldenami:source-ami"


def _pin(account: LargeAccount, image: str) -> None:
    """Add a template that uses an old version of the production parameter by its number."""
    account.parameter(PRODUCTION, image, ami(90), ami(91), ami(92), ami(99))
    account.template(f"resolve:ssm:{PRODUCTION}:1", needs=False)


def _label(account: LargeAccount, image: str) -> None:
    account.parameter(PRODUCTION, image, ami(90), ami(91), ami(92), ami(99), labels={1: "previous"})


def _group_by_override(account: LargeAccount, image: str) -> None:
    template = account.template(ami(99), needs=False)
    mixed = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
            "Overrides": [{"InstanceType": "t3.micro", "ImageId": image}],
        }
    }
    account.group(MixedInstancesPolicy=mixed)


def _refresh(account: LargeAccount, image: str) -> None:
    """Add an instance refresh that launches an image by an override, which the group does not have yet."""
    mixed = {"LaunchTemplate": {"Overrides": [{"InstanceType": "t3.micro", "ImageId": image}]}}
    account.refresh(account.group(), {"MixedInstancesPolicy": mixed})


def _child(account: LargeAccount, image: str) -> None:
    child = account.image(1_000_000 + int(image[4:], 16), name=f"made-from-{image}", SourceImageId=image)
    account.instance(child)


def _foreign_parameter(account: LargeAccount, image: str) -> None:
    account.parameter(f"/others/{image}", image)


def _foreign_history(account: LargeAccount, image: str) -> None:
    account.parameter(f"/others/history/{image}", image, "ami-00000000", "nothing")


def _configuration(account: LargeAccount, image: str) -> None:
    account.group(LaunchConfigurationName=account.configuration(image))


REFERENCES: dict[str, Callable[[LargeAccount, str], None]] = {
    "running": lambda e, a: e.instance(a),
    "stopped": lambda e, a: e.instance(a, "stopped"),
    "template": lambda e, a: e.template(a),  # type: ignore[dict-item,return-value]
    "old-template-version": lambda e, a: e.template(a, *[ami(99)] * 250, needs=False),  # type: ignore[dict-item,return-value]
    "snapshot-in-template": lambda e, a: e.template(  # type: ignore[dict-item,return-value]
        ami(99), snapshot=e.images[a]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"], needs=False
    ),
    "group-override": _group_by_override,
    "configuration": _configuration,
    "refresh": _refresh,
    "candidate": lambda e, a: e.parameter(CANDIDATE, ami(90), a),
    "production": lambda e, a: e.parameter(PRODUCTION, ami(90), a),
    "rollback": lambda e, a: e.parameter(PRODUCTION, ami(98), a, ami(99)),
    "label": _label,
    "pinned-pointer": _pin,
    "parameter": _foreign_parameter,
    "parameter-history": _foreign_history,
    "parameter-in-json": lambda e, a: e.parameter(f"config-{a}", json.dumps({"image": f"x_{a}"})),
    "share": lambda e, a: e.shares.update({a: [{"UserId": "210987654321"}]}),
    "organization": lambda e, a: e.shares.update({a: [{"OrganizationArn": "arn:aws:organizations::1:o/o-1"}]}),
    "public": lambda e, a: e.images[a].update(Public=True),
    "child": _child,
    "copy-tag": lambda e, a: e.image(2_000_000 + int(a[4:], 16), name=f"copy-of-{a}", extra={SOURCE_AMI: a}) and None,  # type: ignore[func-returns-value]
    "protection": lambda e, a: e.images[a].update(DeregistrationProtection="enabled-with-cooldown"),
    "keep-tag": lambda e, a: e.images[a]["Tags"].update({KEEP: "for the auditors"}),
}


# References that need a parameter of their own.
PARAMETER_OF = dict.fromkeys(["production", "rollback", "label", "pinned-pointer"], PRODUCTION)


def add_reference(account: LargeAccount, way: str, image: str) -> None:
    REFERENCES[way](account, image)
    account.needs(image, way)
