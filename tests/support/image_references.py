"""Every way in which something in an account names an image, each put into an estate by its name."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.support.large_account import NAME, Estate, ami

CANDIDATE, PRODUCTION = f"/goldenami/{NAME}/candidate", f"/goldenami/{NAME}/production"
KEEP, SOURCE_AMI = "goldenami:keep", "goldenami:source-ami"


def _pin(estate: Estate, image: str) -> None:
    """A template that takes an old version of our own pointer by its number."""
    estate.parameter(PRODUCTION, image, ami(90), ami(91), ami(92), ami(99))
    estate.template(f"resolve:ssm:{PRODUCTION}:1", needs=False)


def _label(estate: Estate, image: str) -> None:
    estate.parameter(PRODUCTION, image, ami(90), ami(91), ami(92), ami(99), labels={1: "previous"})


def _group_by_override(estate: Estate, image: str) -> None:
    template = estate.template(ami(99), needs=False)
    mixed = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
            "Overrides": [{"InstanceType": "t3.micro", "ImageId": image}],
        }
    }
    estate.group(MixedInstancesPolicy=mixed)


def _refresh(estate: Estate, image: str) -> None:
    """A refresh that brings an image by an override; the group itself does not know of it yet."""
    mixed = {"LaunchTemplate": {"Overrides": [{"InstanceType": "t3.micro", "ImageId": image}]}}
    estate.refresh(estate.group(), {"MixedInstancesPolicy": mixed})


def _child(estate: Estate, image: str) -> None:
    child = estate.image(1_000_000 + int(image[4:], 16), name=f"made-from-{image}", SourceImageId=image)
    estate.instance(child)


def _foreign_parameter(estate: Estate, image: str) -> None:
    estate.parameter(f"/others/{image}", image)


def _foreign_history(estate: Estate, image: str) -> None:
    estate.parameter(f"/others/history/{image}", image, "ami-00000000", "nothing")


def _configuration(estate: Estate, image: str) -> None:
    estate.group(LaunchConfigurationName=estate.configuration(image))


WAYS: dict[str, Callable[[Estate, str], None]] = {
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


# The ways that need a parameter for themselves.
PARAMETER = dict.fromkeys(["production", "rollback", "label", "pinned-pointer"], PRODUCTION)


def name_it(estate: Estate, way: str, image: str) -> None:
    WAYS[way](estate, image)
    estate.needs(image, way)
