"""Instances made real: RunInstances, Start, Stop, Reboot, Terminate and GetConsoleOutput act on machines."""

from __future__ import annotations

import copy
import hashlib
import time
from typing import Any

import moto.ec2.models.elastic_network_interfaces as network_interfaces
from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, MissingParameterError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance, InstanceState
from moto.ec2.responses import EC2Response
from moto.ec2.utils import filter_dict_attribute_mapping, filter_iam_instance_profiles

from localcloud.core.cloud import Cloud
from localcloud.ec2 import launch_templates
from localcloud.ec2.image_model import get_available_image
from localcloud.ec2.machine_pool import TERMINATE_SECONDS, MachinePool
from localcloud.ec2.volumes import check_snapshot
from localcloud.errors import CloudError

_run, _start, _stop = EC2Backend.run_instances, Instance.start, Instance.stop
_terminate = Instance.terminate
_run_response = EC2Response.run_instances


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's methods by these. May be called again with another cloud."""

    def run_instances(
        self: Any, image_id: str | None, count: int, user_data: Any, groups: list[str], **asked: Any
    ) -> Any:
        """Also what Auto Scaling calls. moto: any AMI, an invented 8 GiB volume, running at once."""
        template = self._get_template_from_args(asked["launch_template"]) if asked.get("launch_template") else None
        data = template.data if template else {}
        image = get_available_image(
            cloud, self, image_id or launch_templates.resolve_image(self.region_name, self.account_id, data)
        )
        launch_templates.add_template_settings(asked, data)
        if profile := data.get("IamInstanceProfile"):  # before anything is made: an unknown profile must leave nothing
            filter_iam_instance_profiles(self.account_id, "aws", profile.get("Arn"), profile.get("Name"))
        mappings = asked.get("block_device_mappings") or data.get("BlockDeviceMappings") or []
        if not mappings and asked.get("launch_config"):
            mappings = asked["launch_config"].block_device_mapping_dict
        asked["block_device_mappings"] = disks = merge_mappings(image, mappings)
        # moto drops these two when they come from a template, and the image's own default
        asked["metadata_options"] = dict(asked.get("metadata_options") or data.get("MetadataOptions") or {})
        if image.imds_support == "v2.0":
            asked["metadata_options"].setdefault("HttpTokens", "required")
        asked.setdefault("region_name", self.region_name)  # Auto Scaling leaves it out: names of us-east-1
        reservation = _run(self, image.id, count, user_data, groups, **asked)
        for instance in reservation.instances:
            instance._state = InstanceState("pending", 0)
            key = self.key_pairs.get(instance.key_name)
            instance.public_key = key.material_public if key else None  # outlives the key pair, as on EC2
            for nic in instance.nics.values():  # moto keeps them all; EC2 deletes those that the launch made
                given = [one for one in asked.get("nics") or [] if int(one.get("DeviceIndex", 0)) == nic.device_index]
                nic.delete_on_termination = not given or given[0].get(
                    "DeleteOnTermination", "NetworkInterfaceId" not in given[0]
                )
            for disk in disks:
                device = instance.block_device_mapping.get(disk["DeviceName"])
                if device:  # moto does not hand these on
                    volume = self.get_volume(device.volume_id)
                    volume.iops = disk["Ebs"].get("Iops") or volume.iops
                    volume.throughput = disk["Ebs"].get("Throughput") or volume.throughput
                    if volume.volume_type == "gp3":
                        volume.throughput = volume.throughput or 125
            if template and not asked.get("iam_instance_profile_name") and not asked.get("iam_instance_profile_arn"):
                profile = data.get("IamInstanceProfile") or {}
                if profile:
                    self.associate_iam_instance_profile(
                        instance.id,
                        iam_instance_profile_name=profile.get("Name"),
                        iam_instance_profile_arn=profile.get("Arn"),
                    )
            pool.launch(instance)
        return reservation

    def run_response(self: Any) -> Any:
        """ClientToken: the same request again answers with the same instances. MaxCount: moto takes the minimum."""
        self.params["MinCount"] = self.params.get("MaxCount", 1)
        token = self.params.get("ClientToken")
        asked = {name: value for name, value in self.params.items() if name != "DryRun"}
        digest = hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()
        for reservation in list(self.ec2_backend.reservations.values()):
            first = reservation.instances[0] if reservation.instances else None
            if token and first and first.client_token == token:
                if getattr(reservation, "asked", digest) != digest:
                    raise EC2ClientError(
                        "IdempotentParameterMismatch",
                        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                    )
                return ActionResult(reservation)
        result = _run_response(self)
        result.result.asked = digest
        return result

    def start(self: Any) -> Any:
        previous = copy.copy(self._state)
        if self.state in ("pending", "running"):
            return previous
        if self.state != "stopped":
            raise wrong_state_error(self, "started")
        _start(self)
        self._state = InstanceState("pending", 0)
        self.launch_time = utcnow()
        pool.launch(self)
        return previous

    def stop(self: Any) -> Any:
        previous = copy.copy(self._state)
        if self.state in ("stopping", "stopped"):
            return previous
        if self.state != "running":
            raise wrong_state_error(self, "stopped")
        self._state = InstanceState("stopping", 64)
        pool.stop(self, self.power_off_now)
        return previous

    def terminate(self: Any) -> Any:
        previous = copy.copy(self._state)
        if self.state in ("shutting-down", "terminated"):
            return previous
        self._state = InstanceState("shutting-down", 32)
        pool.stop(self, self.terminate_now, TERMINATE_SECONDS)
        return previous

    def reboot(self: Any) -> None:
        if self.state != "running":
            raise wrong_state_error(self, "rebooted")
        pool.reboot(self)

    def terminate_now(self: Any) -> None:
        """moto's terminate: detaches volumes, deletes those that go with the instance."""
        _terminate(self)
        self._state = InstanceState("terminated", 48)
        self.terminated_at = time.time()

    def power_off_now(self: Any) -> None:
        _stop(self)
        self._state = InstanceState("stopped", 80)

    def public_ip() -> str:
        try:
            return cloud.addresses.allocate()
        except CloudError as error:
            raise EC2ClientError("InsufficientFreeAddressesInSubnet", str(error)) from error

    def console(self: Any) -> Any:
        """moto: always the same text."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        text = pool.console(instance).decode("utf-8", "replace")
        output = Base64EncodedString.from_raw_string(text)
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    def parse_mappings(self: Any) -> list[dict[str, Any]]:
        """moto drops Throughput, and refuses a root mapping that leaves the size to the image."""
        return copy.deepcopy(self._get_param("BlockDeviceMappings", []))

    EC2Backend.run_instances = run_instances
    EC2Response.run_instances = run_response
    EC2Response._parse_block_device_mapping = parse_mappings
    EC2Response.get_console_output = console
    Instance.start, Instance.stop, Instance.reboot, Instance.terminate = start, stop, reboot, terminate
    Instance.terminate_now, Instance.power_off_now = terminate_now, power_off_now
    network_interfaces.random_public_ip = public_ip
    filter_dict_attribute_mapping["client-token"] = "client_token"  # DescribeInstances' filter, which moto lacks


def resume(cloud: Cloud, pool: MachinePool, instances: list[Any]) -> None:
    """After a start: launch what should be running, finish what was being stopped or terminated."""
    for instance in instances:
        if instance.state in ("pending", "running"):
            if instance.public_ip and not cloud.addresses.contains(instance.public_ip):
                instance.nics[0].public_ip = cloud.addresses.allocate()  # the former range is somebody else's now
            instance.machine_address = None
            instance._state = InstanceState("pending", 0)
            pool.launch(instance)
        elif instance.state == "stopping":
            pool.stop(instance, instance.power_off_now)
        elif instance.state == "shutting-down":
            pool.stop(instance, instance.terminate_now, TERMINATE_SECONDS)


def merge_mappings(image: Any, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The image's block device mapping with the request's laid over it, as EC2 does."""
    disks = {mapping["DeviceName"]: copy.deepcopy(mapping) for mapping in image.block_device_mappings}
    for mapping in asked:
        name = mapping.get("DeviceName")
        if mapping.get("NoDevice") is not None:
            disks.pop(name, None)
            continue
        ebs = {key: value for key, value in (mapping.get("Ebs") or {}).items() if value is not None}
        if not ebs:
            continue  # an instance store volume: there is none here
        known = disks.setdefault(name, {"DeviceName": name, "Ebs": {"DeleteOnTermination": False}})
        least = known["Ebs"].get("VolumeSize", 1)
        if snapshot_id := ebs.get("SnapshotId"):
            least = image.ec2_backend.get_snapshot(snapshot_id).volume_size
            check_snapshot(image.ec2_backend.get_snapshot(snapshot_id), None)
            ebs.setdefault("VolumeSize", least)
        known["Ebs"].update(ebs)
        if not known["Ebs"].get("VolumeSize"):
            raise MissingParameterError("size/snapshot")
        known["Ebs"]["VolumeSize"] = size = int(known["Ebs"].get("VolumeSize") or 0)
        if size < least:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"Volume of size {size}GB is smaller than snapshot "
                f"'{known['Ebs'].get('SnapshotId')}', expect size >= {least}GB",
            )
    for disk in disks.values():
        disk["Ebs"]["Encrypted"] = str(disk["Ebs"].get("Encrypted", False)).lower() == "true"
        disk["Ebs"]["DeleteOnTermination"] = str(disk["Ebs"].get("DeleteOnTermination")).lower() == "true"
    return list(disks.values())


def wrong_state_error(instance: Any, verb: str) -> Exception:
    return EC2ClientError(  # type: ignore[no-any-return]
        "IncorrectInstanceState",
        f"The instance '{instance.id}' is not in a state from which it can be {verb}.",
    )
