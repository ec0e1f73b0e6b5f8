"""RunInstances, StartInstances, StopInstances, RebootInstances, TerminateInstances and GetConsoleOutput on machines."""

from __future__ import annotations

import copy
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

from localcloud.core.cloud import TERMINATED_STATES, Cloud
from localcloud.core.overrides import replace_methods
from localcloud.ec2 import launch_templates
from localcloud.ec2.idempotency import find_created, remember
from localcloud.ec2.image_model import get_available_image
from localcloud.ec2.machine_pool import TERMINATE_SECONDS, MachinePool
from localcloud.ec2.volumes import check_snapshot
from localcloud.errors import CloudError

_run, _run_response = EC2Backend.run_instances, EC2Response.run_instances
_start, _stop, _terminate = Instance.start, Instance.stop, Instance.terminate


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's methods."""

    def run_instances(
        self: Any, image_id: str | None, count: int, user_data: Any, groups: list[str], **options: Any
    ) -> Any:
        """moto accepts any AMI, invents an 8 GiB volume, and runs at once. Auto Scaling calls this too.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html"""
        template = self._get_template_from_args(options["launch_template"]) if options.get("launch_template") else None
        data = template.data if template else {}
        image_id = image_id or launch_templates.resolve_image(self.region_name, self.account_id, data)
        image = get_available_image(cloud, self, image_id)
        launch_templates.add_template_settings(options, data)
        if profile := data.get("IamInstanceProfile"):  # checked first: an unknown profile must create no resources
            filter_iam_instance_profiles(self.account_id, "aws", profile.get("Arn"), profile.get("Name"))
        mappings = options.get("block_device_mappings") or data.get("BlockDeviceMappings") or []
        if not mappings and options.get("launch_config"):
            mappings = options["launch_config"].block_device_mapping_dict
        options["block_device_mappings"] = disks = merge_mappings(image, mappings)
        # moto ignores the template's metadata options and the image's default.
        options["metadata_options"] = dict(options.get("metadata_options") or data.get("MetadataOptions") or {})
        if image.imds_support == "v2.0":
            options["metadata_options"].setdefault("HttpTokens", "required")
        options.setdefault("region_name", self.region_name)  # Auto Scaling omits it, and host names are of us-east-1
        reservation = _run(self, image.id, count, user_data, groups, **options)
        for instance in reservation.instances:
            instance._state = InstanceState("pending", 0)
            key = self.key_pairs.get(instance.key_name)
            instance.public_key = key.material_public if key else None  # outlives the key pair, as on EC2
            for nic in instance.nics.values():  # moto deletes none; EC2 deletes those that the launch created
                specified = [n for n in options.get("nics") or [] if int(n.get("DeviceIndex", 0)) == nic.device_index]
                created = not specified or "NetworkInterfaceId" not in specified[0]
                nic.delete_on_termination = not specified or specified[0].get("DeleteOnTermination", created)
            for disk in disks:
                if device := instance.block_device_mapping.get(disk["DeviceName"]):  # moto ignores these settings
                    volume = self.get_volume(device.volume_id)
                    volume.iops = disk["Ebs"].get("Iops") or volume.iops
                    volume.throughput = disk["Ebs"].get("Throughput") or volume.throughput
                    if volume.volume_type == "gp3":
                        volume.throughput = volume.throughput or 125
            profile = data.get("IamInstanceProfile")
            if profile and not (options.get("iam_instance_profile_name") or options.get("iam_instance_profile_arn")):
                self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
            pool.launch(instance)
        return reservation

    def run_response(self: Any) -> Any:
        """moto ignores ClientToken, and starts MinCount instances.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html"""
        self.params["MinCount"] = self.params.get("MaxCount", 1)
        if reservation := find_created(self, list(self.ec2_backend.reservations.values())):
            return ActionResult(reservation)
        result = _run_response(self)
        remember(self, result.result)
        return result

    def start(self: Any) -> Any:
        """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StartInstances.html"""
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
        """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StopInstances.html"""
        previous = copy.copy(self._state)
        if self.state in ("stopping", "stopped"):
            return previous
        if self.state != "running":
            raise wrong_state_error(self, "stopped")
        self._state = InstanceState("stopping", 64)
        pool.stop(self, self.power_off_now)
        return previous

    def terminate(self: Any) -> Any:
        """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html"""
        previous = copy.copy(self._state)
        if self.state in TERMINATED_STATES:
            return previous
        self._state = InstanceState("shutting-down", 32)
        pool.stop(self, self.terminate_now, TERMINATE_SECONDS)
        return previous

    def reboot(self: Any) -> None:
        """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RebootInstances.html"""
        if self.state != "running":
            raise wrong_state_error(self, "rebooted")
        pool.reboot(self)

    def terminate_now(self: Any) -> None:
        """Terminate with moto, which detaches volumes and deletes those with DeleteOnTermination."""
        _terminate(self)
        self._state = InstanceState("terminated", 48)
        self.terminated_at = time.time()

    def power_off_now(self: Any) -> None:
        _stop(self)
        self._state = InstanceState("stopped", 80)

    def random_public_ip() -> str:
        try:
            return cloud.addresses.allocate()
        except CloudError as error:
            raise EC2ClientError("InsufficientFreeAddressesInSubnet", str(error)) from error

    def get_console_output(self: Any) -> Any:
        """moto returns a constant text. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html"""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        output = Base64EncodedString.from_raw_string(pool.console(instance).decode("utf-8", "replace"))
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    def _parse_block_device_mapping(self: Any) -> list[dict[str, Any]]:
        """moto omits Throughput, and rejects a root mapping without a size.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_BlockDeviceMapping.html"""
        return copy.deepcopy(self._get_param("BlockDeviceMappings", []))

    replace_methods(EC2Backend, run_instances)
    EC2Response.run_instances = run_response
    replace_methods(EC2Response, _parse_block_device_mapping, get_console_output)
    replace_methods(Instance, start, stop, reboot, terminate, terminate_now, power_off_now)
    network_interfaces.random_public_ip = random_public_ip
    # A filter that moto lacks: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
    filter_dict_attribute_mapping["client-token"] = "client_token"


def resume(cloud: Cloud, pool: MachinePool, instances: list[Any]) -> None:
    """Launch running instances after a restart, and complete interrupted stops and terminations."""
    for instance in instances:
        if instance.state in ("pending", "running"):
            if instance.public_ip and not cloud.addresses.contains(instance.public_ip):
                instance.nics[0].public_ip = cloud.addresses.allocate()
            instance.machine_address = None
            instance._state = InstanceState("pending", 0)
            pool.launch(instance)
        elif instance.state == "stopping":
            pool.stop(instance, instance.power_off_now)
        elif instance.state == "shutting-down":
            pool.stop(instance, instance.terminate_now, TERMINATE_SECONDS)


def merge_mappings(image: Any, overrides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the image's block device mappings, changed by those of the request.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-device-mapping-concepts.html"""
    disks = {mapping["DeviceName"]: copy.deepcopy(mapping) for mapping in image.block_device_mappings}
    for mapping in overrides:
        name = mapping.get("DeviceName")
        if mapping.get("NoDevice") is not None:
            disks.pop(name, None)
            continue
        ebs = {key: value for key, value in (mapping.get("Ebs") or {}).items() if value is not None}
        if not ebs:
            continue  # instance store volumes are not supported
        disk_ebs = disks.setdefault(name, {"DeviceName": name, "Ebs": {"DeleteOnTermination": False}})["Ebs"]
        min_size = disk_ebs.get("VolumeSize", 1)
        if snapshot_id := ebs.get("SnapshotId"):
            snapshot = image.ec2_backend.get_snapshot(snapshot_id)
            check_snapshot(snapshot, None)
            min_size = snapshot.volume_size
            ebs.setdefault("VolumeSize", min_size)
        disk_ebs.update(ebs)
        if not disk_ebs.get("VolumeSize"):
            raise MissingParameterError("size/snapshot")
        disk_ebs["VolumeSize"] = size = int(disk_ebs["VolumeSize"])
        if size < min_size:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"Volume of size {size}GB is smaller than snapshot "
                f"'{disk_ebs.get('SnapshotId')}', expect size >= {min_size}GB",
            )
    for disk in disks.values():
        disk["Ebs"]["Encrypted"] = str(disk["Ebs"].get("Encrypted", False)).lower() == "true"
        disk["Ebs"]["DeleteOnTermination"] = str(disk["Ebs"].get("DeleteOnTermination")).lower() == "true"
    return list(disks.values())


def wrong_state_error(instance: Any, verb: str) -> Exception:
    return EC2ClientError(  # type: ignore[no-any-return]
        "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which it can be {verb}."
    )
