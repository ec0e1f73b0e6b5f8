"""A small AWS account in memory, at botocore's wire: for flows that make many calls whose order is not the point.

Requests are checked by botocore against the service's model before they come here, answers after. The images lie in a
folder, one file each, so that a fake packer in another process can make one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.validate import validate_parameters

from goldenami.aws.session import AwsSession

REGION = "ap-northeast-2"
SOURCE = "ami-0123456789abcdef0"
NEWER = "ami-0fedcba9876543210"
GREEN = "CHECK boot-unit-active ok active\nCHECK boot-clean ok none\n"


class Refused(Exception):
    """What a call answers instead."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Account:
    """EC2, SSM, IAM, STS and SNS, as far as a bake needs them.

    Attributes:
        calls: Every call that was made: its name and its parameters.
        before: What happens just before a call of this name is carried out (it may raise).
        checks: What an instance's own checks print on its console.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.checks = GREEN
        self.machines: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.parameters: dict[str, list[str]] = {"/aws/service/debian/release/12/latest/amd64": [SOURCE]}
        self.roles: set[str] = set()
        self.published: list[dict[str, Any]] = []
        self.aws = _wired()
        _current.append(self)

    def made(self, call: str) -> list[dict[str, Any]]:
        """The parameters of each call of a name."""
        return [given for name, given in self.calls if name == call]

    def images(self) -> dict[str, dict[str, Any]]:
        """Every image of the account."""
        found = [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]
        return {image["ImageId"]: image for image in found}

    def put_image(self, ami: str, name: str, state: str = "available", tags: Mapping[str, str] | None = None) -> None:
        self._store({"ImageId": ami, "Name": name, "State": state, "Tags": dict(tags or {})})

    def alive(self) -> list[str]:
        """What costs money or clutters the account."""
        running = [i for i, machine in self.machines.items() if machine["State"]["Name"] != "terminated"]
        return [*running, *self.groups, *self.volumes]

    # --- the wire

    def answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        """Carry out a call that botocore was about to send."""
        name, given = model.name, dict(context["asked"])
        self.calls.append((name, dict(given)))
        response = AWSResponse("http://127.0.0.1", 200, {}, None)
        try:
            if happening := self.before.get(name):
                happening()
            if given.pop("DryRun", False):
                raise Refused("DryRunOperation")
            answer = getattr(self, name)(**given) or {}
        except Refused as refusal:
            response.status_code = 400
            return response, {"Error": {"Code": refusal.code, "Message": f"{name} is refused"}, "ResponseMetadata": {}}
        if answer:
            validate_parameters(answer, model.output_shape)
        return response, {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    # --- EC2: images

    def _store(self, image: dict[str, Any]) -> None:
        (self.folder / f"{image['ImageId']}.json").write_text(json.dumps(image))

    def _image(self, ami: str) -> dict[str, Any]:
        if ami not in self.images():
            raise Refused("InvalidAMIID.NotFound")
        return self.images()[ami]

    def DescribeImages(self, ImageIds: list[str] | None = None, **given: Any) -> dict[str, Any]:
        found = [self._image(ami) for ami in ImageIds] if ImageIds else list(self.images().values())
        names = [v.rstrip("*") for f in given.get("Filters", []) if f["Name"] == "name" for v in f["Values"]]
        disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": True}}
        return {
            "Images": [
                {
                    "CreationDate": "2026-03-14T09:26:53.000Z",
                    **{k: v for k, v in image.items() if k != "Tags"},
                    "Architecture": "x86_64",
                    "RootDeviceName": "/dev/xvda",
                    "BlockDeviceMappings": [
                        {**disk, "Ebs": {**disk["Ebs"], "SnapshotId": image["ImageId"].replace("ami", "snap")}}  # type: ignore[dict-item]
                    ],
                    "Tags": _pairs(image["Tags"]),
                }
                for image in found
                if not names or image["Name"].startswith(tuple(names))
            ]
        }

    def CreateTags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        for name in Resources:
            if name.startswith("ami-"):
                image = self._image(name)
                image["Tags"] |= {tag["Key"]: tag["Value"] for tag in Tags}
                self._store(image)

    def DeleteTags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        for name in Resources:
            image = self._image(name)
            image["Tags"] = {k: v for k, v in image["Tags"].items() if k not in {tag["Key"] for tag in Tags}}
            self._store(image)

    def ModifyImageAttribute(self, ImageId: str, ImdsSupport: dict[str, str]) -> None:
        self._store({**self._image(ImageId), "ImdsSupport": ImdsSupport["Value"]})

    def DeregisterImage(self, ImageId: str) -> None:
        self._image(ImageId)
        (self.folder / f"{ImageId}.json").unlink()

    def DeleteSnapshot(self, SnapshotId: str) -> None:
        assert SnapshotId.replace("snap", "ami") not in self.images(), "a snapshot that is in use cannot be deleted"

    def DescribeSnapshots(self, **_: Any) -> dict[str, Any]:
        return {"Snapshots": []}

    def DescribeVolumes(self, **_: Any) -> dict[str, Any]:
        return {"Volumes": list(self.volumes.values())}

    def DeleteVolume(self, VolumeId: str) -> None:
        del self.volumes[VolumeId]

    def DescribeKeyPairs(self, **_: Any) -> dict[str, Any]:
        return {"KeyPairs": []}

    # --- EC2: machines

    def RunInstances(self, UserData: str, TagSpecifications: list[dict[str, Any]], **given: Any) -> dict[str, Any]:
        self._image(given["ImageId"])
        same = [m for m in self.machines.values() if m["ClientToken"] == given["ClientToken"]]
        if same:
            return {"Instances": same}
        made = {
            "InstanceId": f"i-{len(self.machines) + 1}",
            "State": {"Name": "running"},
            "ImageId": given["ImageId"],
            "ClientToken": given["ClientToken"],
            "PublicIpAddress": "127.0.0.1",
            "Tags": TagSpecifications[0]["Tags"],
        }
        self.machines[made["InstanceId"]] = made
        script = UserData if UserData.startswith("#!") else base64.b64decode(UserData).decode()
        found = re.search(r"^nonce='?([0-9a-f]+)", script, re.MULTILINE)
        self.nonce = found[1] if found else ""
        return {"Instances": [made]}

    def DescribeInstances(self, InstanceIds: list[str] | None = None, **_: Any) -> dict[str, Any]:
        found = [m for i, m in self.machines.items() if not InstanceIds or i in InstanceIds]
        return {"Reservations": [{"Instances": found}]}

    def GetConsoleOutput(self, InstanceId: str, **_: Any) -> dict[str, Any]:
        text = f"boot\nGOLDEN-VERIFY {self.nonce} BEGIN\n"
        if self.checks:
            text += f"{self.checks}GOLDEN-VERIFY {self.nonce} END\n"
        return {"InstanceId": InstanceId, "Output": base64.b64encode(text.encode()).decode()}

    def TerminateInstances(self, InstanceIds: list[str]) -> None:
        for name in InstanceIds:
            self.machines[name]["State"] = {"Name": "terminated"}

    def DescribeVpcs(self, **_: Any) -> dict[str, Any]:
        return {"Vpcs": [{"VpcId": "vpc-1"}]}

    def CreateSecurityGroup(self, GroupName: str, TagSpecifications: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        made = {"GroupId": f"sg-{GroupName}", "GroupName": GroupName, "Tags": TagSpecifications[0]["Tags"]}
        if made["GroupId"] in self.groups:
            raise Refused("InvalidGroup.Duplicate")
        self.groups[made["GroupId"]] = made
        return {"GroupId": made["GroupId"]}

    def AuthorizeSecurityGroupIngress(self, **_: Any) -> None:
        return None

    def DescribeSecurityGroups(self, **_: Any) -> dict[str, Any]:
        return {"SecurityGroups": list(self.groups.values())}

    def DeleteSecurityGroup(self, GroupId: str) -> None:
        if not self.groups.pop(GroupId, None):
            raise Refused("InvalidGroup.NotFound")

    # --- what names images: nothing does but the parameters

    def DescribeLaunchTemplates(self, **_: Any) -> dict[str, Any]:
        return {"LaunchTemplates": []}

    def DescribeAutoScalingGroups(self, **_: Any) -> dict[str, Any]:
        return {"AutoScalingGroups": []}

    def DescribeLaunchConfigurations(self, **_: Any) -> dict[str, Any]:
        return {"LaunchConfigurations": []}

    def DescribeParameters(self, **_: Any) -> dict[str, Any]:
        return {"Parameters": [{"Name": n, "Type": "String", "Version": len(v)} for n, v in self.parameters.items()]}

    def GetParameterHistory(self, Name: str, **_: Any) -> dict[str, Any]:
        values = self.parameters.get(Name, [])
        return {"Parameters": [{"Name": Name, "Value": v, "Version": n} for n, v in enumerate(values, 1)]}

    # --- the other services

    def ListObjectsV2(self, **_: Any) -> None:
        """Return no backups."""

    def GetParameter(self, Name: str, **_: Any) -> dict[str, Any]:
        name, _, number = Name.partition(":")
        values = self.parameters.get(name)
        if values is None:
            raise Refused("ParameterNotFound")
        version = int(number or len(values))
        if version > len(values):
            raise Refused("ParameterVersionNotFound")
        return {"Parameter": {"Name": name, "Type": "String", "Value": values[version - 1], "Version": version}}

    def GetParameters(self, Names: list[str], **_: Any) -> dict[str, Any]:
        there = [n for n in Names if n.partition(":")[0] in self.parameters]
        return {"Parameters": [self.GetParameter(Name=n)["Parameter"] for n in there]}

    def GetParametersByPath(self, Path: str, **_: Any) -> dict[str, Any]:
        inside = [n for n in self.parameters if n.startswith(Path + "/")]
        return {"Parameters": [{"Name": n, "Value": self.parameters[n][-1], "Version": 1} for n in inside]}

    def PutParameter(self, Name: str, Value: str, Overwrite: bool, **_: Any) -> dict[str, Any]:
        if Name in self.parameters and not Overwrite:
            raise Refused("ParameterAlreadyExists")
        self.parameters.setdefault(Name, []).append(Value)
        return {"Version": len(self.parameters[Name])}

    def DeleteParameter(self, Name: str) -> None:
        if not self.parameters.pop(Name, None):
            raise Refused("ParameterNotFound")

    def Publish(self, **given: Any) -> dict[str, Any]:
        self.published.append(given)
        return {"MessageId": "1"}

    def GetCallerIdentity(self) -> dict[str, Any]:
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/baker", "UserId": "AIDA"}

    def CreateRole(self, RoleName: str, **_: Any) -> None:
        if RoleName in self.roles:
            raise Refused("EntityAlreadyExists")
        self.roles.add(RoleName)

    def PutRolePolicy(self, **_: Any) -> None:
        return None

    def CreateInstanceProfile(self, InstanceProfileName: str) -> None:
        return None

    def GetInstanceProfile(self, InstanceProfileName: str) -> dict[str, Any]:
        entity = {"Path": "/", "CreateDate": "2026-03-14T09:26:53Z", "Arn": "a" * 20}
        role = {**entity, "RoleName": InstanceProfileName, "RoleId": "A" * 16}
        profile = {**entity, "InstanceProfileName": InstanceProfileName, "InstanceProfileId": "A" * 16, "Roles": [role]}
        return {"InstanceProfile": profile}


_current: list[Account] = []


@cache
def _wired() -> AwsSession:
    """Clients whose calls go to the account that was made last. Making them takes longer than a test."""

    def keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def answer(**given: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return _current[-1].answer(**given)

    aws = AwsSession(REGION, keys=("test", "test"))
    for service in ("autoscaling", "ec2", "iam", "s3", "sns", "ssm", "sts"):
        events = aws.client(service).meta.events  # type: ignore[call-overload]
        events.register_first("before-parameter-build", keep)
        events.register_first("before-call", answer)
    return aws


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
