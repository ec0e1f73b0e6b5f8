"""A large AWS account in memory, behind botocore: many images, and everything that may reference one. For prune and sweep.

It answers in pages as AWS does, counts its calls, and checks deletions independently of the code under test: a test that adds
a reference also adds the image that it needs, and deleting such an image fails the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.validate import validate_parameters

from goldenami.aws.session import AwsSession
from goldenami.model import image as model_image

REGION = "ap-northeast-2"
START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
NAME = "guestbook"


class Refused(Exception):
    """Error code of a call."""


class Killed(BaseException):
    """Ends the process, as kill -9 does."""


def ami(number: int) -> str:
    return f"ami-{number:017x}"


def snap(number: int) -> str:
    return f"snap-{number:017x}"


class LargeAccount:
    """EC2, Auto Scaling and Parameter Store, as far as images are concerned.

    Attributes:
        needed: Why an image must not be deleted, by its id.
        deregistered: Ids of deregistered images, in order.
        calls: Number of calls, by name.
        before_call: Called with each call's name before it runs; may change the account, or raise.
        check: True if each answer is validated against the service's model (slow for large accounts).
        wrong: Collects deletions of images in use; if None, such a deletion fails.
    """

    def __init__(self, *, check: bool = True, wrong: list[str] | None = None) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.snapshots: dict[str, dict[str, str]] = {}
        self.uses: Counter[str] = Counter()
        self.shares: dict[str, list[dict[str, str]]] = {}
        self.instances: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.refreshes: dict[str, list[dict[str, Any]]] = {}
        self.configurations: dict[str, dict[str, Any]] = {}
        self.parameters: dict[str, list[dict[str, Any]]] = {}
        self.needed: dict[str, str] = {}
        self.deregistered: list[str] = []
        self.calls: Counter[str] = Counter()
        self.before_call: Callable[[str], None] = lambda name: None
        self.check = check
        self.wrong = wrong
        self.aws = _wired()
        _current.append(self)

    # --- contents

    def image(
        self,
        number: int,
        *,
        days: float = 100,
        name: str = "",
        layer: str = "app",
        verified: bool = True,
        state: str = "available",
        snapshots: Iterable[int] | None = None,
        extra: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> str:
        """Add an image of the recipe, created this number of days ago."""
        if ami(number) in self.images:  # replaced
            self.uses.subtract(m["Ebs"]["SnapshotId"] for m in self.images[ami(number)]["BlockDeviceMappings"])
        behind = [snap(s) for s in (snapshots if snapshots is not None else [number * 16])]
        kind = f"base-{number:012x}-run" if layer == "base" else f"golden-v1.{number}"
        told = {model_image.IMAGE: NAME, model_image.LAYER: layer, model_image.RUN: f"run{number}", **(extra or {})}
        if verified:
            told[model_image.VERIFIED] = "2026"
        self.images[ami(number)] = {
            "ImageId": ami(number),
            "Name": name or f"{NAME}-{kind}",
            "State": state,
            "Architecture": "x86_64",
            "CreationDate": f"{START - timedelta(days=days):%Y-%m-%dT%H:%M:%S.000Z}",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [
                {"DeviceName": f"/dev/xvd{'abcdefgh'[i]}", "Ebs": {"SnapshotId": s, "VolumeSize": 8}}
                for i, s in enumerate(behind)
            ],
            "Tags": told,
            **facts,
        }
        self.uses.update(behind)
        for snapshot in behind:
            self.snapshots.setdefault(snapshot, {model_image.RUN: f"run{number}"})
        return ami(number)

    def instance(self, image: str, state: str = "running") -> None:
        name = f"i-{len(self.instances):017x}"
        self.instances[name] = {"InstanceId": name, "ImageId": image, "State": {"Name": state}}
        self.needs(image, f"{state} instance")

    def template(self, *versions: str, snapshot: str = "", needs: bool = True) -> str:
        """Add a launch template with these image ids, one per version."""
        name = f"lt-{len(self.templates):017x}"
        data = [{"ImageId": image, "InstanceType": "t3.micro"} for image in versions]
        if snapshot:
            data[-1]["BlockDeviceMappings"] = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot}}]  # type: ignore[assignment]
        self.templates[name] = {"name": f"template-{len(self.templates)}", "versions": data}
        for image in versions if needs else ():
            self.needs(image, f"a version of {name}")
        return name

    def group(self, **launch: Any) -> str:
        name = f"group-{len(self.groups)}"
        self.groups[name] = {**_BARE_GROUP, "AutoScalingGroupName": name, **launch}
        return name

    def configuration(self, image: str) -> str:
        name = f"configuration-{len(self.configurations)}"
        self.configurations[name] = {
            "LaunchConfigurationName": name,
            "ImageId": image,
            "InstanceType": "t3.micro",
            "CreatedTime": START,
        }
        self.needs(image, "a launch configuration")
        return name

    def refresh(self, group: str, desired: Mapping[str, Any], status: str = "InProgress") -> None:
        listed = self.refreshes.setdefault(group, [])
        listed.append(
            {"InstanceRefreshId": f"r-{len(listed)}", "Status": status, "DesiredConfiguration": dict(desired)}
        )

    def parameter(self, name: str, *values: str, labels: Mapping[int, str] | None = None, kind: str = "String") -> None:
        """Add a parameter with these versions, oldest first."""
        self.parameters[name] = [
            {"Name": name, "Value": v, "Version": n, "Type": kind, **({"Labels": [labels[n]]} if labels and n in labels else {})}
            for n, v in enumerate(values, 1)
        ]  # fmt: skip

    def needs(self, image: str, why: str) -> None:
        """Mark an image as in use."""
        self.needed.setdefault(image, why)

    # --- botocore

    def answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        """Answer a call that botocore is about to send."""
        response = AWSResponse("http://127.0.0.1", 200, {}, None)
        try:
            answer = self.call(model.name, context["asked"])
        except Refused as refusal:
            response.status_code = 400
            return response, {"Error": {"Code": str(refusal), "Message": "no"}, "ResponseMetadata": {}}
        if answer and self.check:
            validate_parameters(answer, model.output_shape)
        return response, {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def call(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a call."""
        self.calls[name] += 1
        self.before_call(name)
        return getattr(self, name)(**asked) or {}

    # --- EC2

    def DescribeImages(self, ImageIds: list[str] | None = None, **asked: Any) -> dict[str, Any]:
        found = self.images.values()
        if ImageIds is not None:
            if not all(one in self.images for one in ImageIds):
                raise Refused("InvalidAMIID.NotFound")
            found = [self.images[one] for one in ImageIds]  # type: ignore[assignment]
        if not asked.get("IncludeDisabled"):
            found = [image for image in found if image["State"] != "disabled"]  # type: ignore[assignment]
        for wanted in asked.get("Filters", []):
            found = [image for image in found if _fits(image, wanted["Name"], wanted["Values"])]  # type: ignore[assignment]
        return _page("Images", [{**image, "Tags": _pairs(image["Tags"])} for image in found], asked, 1000)

    def DescribeInstances(self, **asked: Any) -> dict[str, Any]:
        found = list(self.instances.values())
        for wanted in asked.get("Filters", []):
            keys = {"image-id": lambda i: i["ImageId"], "instance-state-name": lambda i: i["State"]["Name"]}
            found = [i for i in found if keys[wanted["Name"]](i) in wanted["Values"]]
        page = _page("Instances", found, asked, 1000)
        return {"Reservations": [{"Instances": page.pop("Instances")}], **page}

    def DescribeSnapshots(self, Filters: list[dict[str, Any]], **asked: Any) -> dict[str, Any]:
        (wanted,) = Filters
        assert wanted["Name"] == "tag-key"
        found = [
            {"SnapshotId": one, "VolumeSize": 8, "Tags": _pairs(told)}
            for one, told in self.snapshots.items()
            if set(wanted["Values"]) & set(told)
        ]
        return _page("Snapshots", found, asked, 1000)

    def DescribeLaunchTemplates(self, **asked: Any) -> dict[str, Any]:
        told = [
            {
                "LaunchTemplateId": identity,
                "LaunchTemplateName": template["name"],
                "DefaultVersionNumber": 1,
                "LatestVersionNumber": len(template["versions"]),
            }
            for identity, template in self.templates.items()
        ]
        return _page("LaunchTemplates", told, asked, 200)

    def DescribeLaunchTemplateVersions(
        self, LaunchTemplateId: str, MinVersion: str = "0", Versions: list[str] | None = None, **asked: Any
    ) -> dict[str, Any]:
        told = [
            {"LaunchTemplateId": LaunchTemplateId, "VersionNumber": number, "LaunchTemplateData": data}
            for number, data in enumerate(self.templates[LaunchTemplateId]["versions"], 1)
            if number >= int(MinVersion) and (Versions is None or str(number) in Versions)
        ]
        return _page("LaunchTemplateVersions", told, asked, 200)

    def DescribeImageAttribute(self, ImageId: str, Attribute: str) -> dict[str, Any]:
        assert Attribute == "launchPermission"
        if ImageId not in self.images:
            raise Refused("InvalidAMIID.Unavailable")
        return {"ImageId": ImageId, "LaunchPermissions": self.shares.get(ImageId, [])}

    def DescribeImageReferences(self, ImageIds: list[str], **_: Any) -> dict[str, Any]:
        return {"ImageReferences": []}  # EC2 does not search everywhere

    def EnableImageDeprecation(self, ImageId: str, DeprecateAt: Any) -> dict[str, Any]:
        self._existing(ImageId)["DeprecationTime"] = f"{DeprecateAt:%Y-%m-%dT%H:%M:%S.000Z}"
        return {"Return": True}

    def DisableImageDeprecation(self, ImageId: str) -> dict[str, Any]:
        self._existing(ImageId).pop("DeprecationTime", None)
        return {"Return": True}

    def DeregisterImage(self, ImageId: str) -> dict[str, Any]:
        image = self._existing(ImageId)
        if image.get("DeregistrationProtection", "disabled") != "disabled":
            raise Refused("OperationNotPermitted")
        self._missed(ImageId)
        if self.wrong is None:
            assert "DeprecationTime" in image, f"{ImageId} was deregistered, but never deprecated"
        self.uses.subtract(m["Ebs"]["SnapshotId"] for m in image["BlockDeviceMappings"])
        del self.images[ImageId]
        self.deregistered.append(ImageId)
        return {"Return": True}

    def DeleteSnapshot(self, SnapshotId: str) -> None:
        if SnapshotId not in self.snapshots:
            raise Refused("InvalidSnapshot.NotFound")
        if self.uses[SnapshotId]:
            raise Refused("InvalidSnapshot.InUse")
        del self.snapshots[SnapshotId]

    def _missed(self, thing: str) -> None:
        if thing in self.needed:
            assert self.wrong is not None, f"{thing} was deleted, but {self.needed[thing]} needs it"
            self.wrong.append(thing)

    def CreateTags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        for one in Resources:
            self._tags(one).update({tag["Key"]: tag["Value"] for tag in Tags})

    def DeleteTags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        for one in Resources:
            for tag in Tags:
                self._tags(one).pop(tag["Key"], None)

    def used(self) -> set[str]:
        """Return the snapshots of existing images."""
        return {m["Ebs"]["SnapshotId"] for image in self.images.values() for m in image["BlockDeviceMappings"]}

    def _existing(self, image: str) -> dict[str, Any]:
        if image not in self.images:
            raise Refused("InvalidAMIID.Unavailable")
        return self.images[image]

    def _tags(self, thing: str) -> dict[str, str]:
        found: dict[str, str] = self._existing(thing)["Tags"] if thing.startswith("ami-") else self.snapshots[thing]
        return found

    # --- Auto Scaling

    def DescribeAutoScalingGroups(self, **asked: Any) -> dict[str, Any]:
        return _page("AutoScalingGroups", list(self.groups.values()), asked, 100)

    def DescribeInstanceRefreshes(self, AutoScalingGroupName: str, **_: Any) -> dict[str, Any]:
        return {"InstanceRefreshes": self.refreshes.get(AutoScalingGroupName, [])}

    def DescribeLaunchConfigurations(self, **asked: Any) -> dict[str, Any]:
        return _page("LaunchConfigurations", list(self.configurations.values()), asked, 100)

    # --- Parameter Store

    def DescribeParameters(self, **asked: Any) -> dict[str, Any]:
        told = [
            {"Name": name, "Type": past[-1]["Type"], "Version": past[-1]["Version"], "LastModifiedDate": START}
            for name, past in self.parameters.items()
        ]
        return _page("Parameters", told, asked, 50)

    def GetParameter(self, Name: str) -> dict[str, Any]:
        name, _, number = Name.partition(":")
        found = [one for one in self.parameters.get(name, []) if not number or one["Version"] == int(number)]
        if not found:
            raise Refused("ParameterNotFound")
        return {"Parameter": {key: found[-1][key] for key in ("Name", "Value", "Version", "Type")}}

    def DeleteParameters(self, Names: list[str]) -> dict[str, Any]:
        assert 1 <= len(Names) <= 10
        return {"DeletedParameters": [name for name in Names if self.parameters.pop(name, None)]}

    def GetParametersByPath(self, Path: str, **asked: Any) -> dict[str, Any]:
        found = [past[-1] for name, past in self.parameters.items() if name.rpartition("/")[0] == Path]
        told = [{key: one[key] for key in ("Name", "Value", "Version", "Type")} for one in found]
        return _page("Parameters", told, asked, 10)

    def PutParameter(self, Name: str, Value: str, Type: str = "String", **_: Any) -> dict[str, Any]:
        past = self.parameters.setdefault(Name, [])
        past.append({"Name": Name, "Value": Value, "Version": len(past) + 1, "Type": Type})
        return {"Version": len(past)}

    def GetParameters(self, Names: list[str]) -> dict[str, Any]:
        assert len(Names) <= 10
        found = [self.parameters[name][-1] for name in Names if name in self.parameters]
        return {"Parameters": [{key: one[key] for key in ("Name", "Value", "Version", "Type")} for one in found]}

    def GetParameterHistory(self, Name: str, **asked: Any) -> dict[str, Any]:
        if Name not in self.parameters:
            raise Refused("ParameterNotFound")
        return _page("Parameters", self.parameters[Name], asked, 50)


_BARE_GROUP = {
    "MinSize": 0,
    "MaxSize": 1,
    "DesiredCapacity": 0,
    "DefaultCooldown": 300,
    "AvailabilityZones": ["ap-northeast-2a"],
    "HealthCheckType": "EC2",
    "CreatedTime": START,
}
_current: list[LargeAccount] = []


@cache
def _wired() -> AwsSession:
    """Return a session whose calls go to the account that was created last."""

    def keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def answer(**given: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return _current[-1].answer(**given)

    aws = AwsSession(REGION, keys=("test", "test"))
    for service in ("ec2", "autoscaling", "ssm"):
        events = aws.client(service).meta.events  # type: ignore[call-overload]
        events.register_first("before-parameter-build", keep)
        events.register_first("before-call", answer)
    return aws


def _page(field: str, items: list[Any], asked: Mapping[str, Any], most: int) -> dict[str, Any]:
    size = min(int(asked.get("MaxResults") or asked.get("MaxRecords") or most), most)
    start = int(asked.get("NextToken") or 0)
    more = {"NextToken": str(start + size)} if start + size < len(items) else {}
    return {field: items[start : start + size], **more}


def _fits(image: Mapping[str, Any], name: str, values: list[str]) -> bool:
    if name == "source-image-id":
        return image.get("SourceImageId") in values
    if name == "block-device-mapping.snapshot-id":
        return any(m["Ebs"]["SnapshotId"] in values for m in image["BlockDeviceMappings"])
    if name == "name":
        return any(image["Name"].startswith(value.rstrip("*")) for value in values)
    kind, _, key = name.partition(":")
    assert kind == "tag", name
    return image["Tags"].get(key) in values


def _pairs(told: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in told.items()]
