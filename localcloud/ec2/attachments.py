"""AttachVolume and DetachVolume, which attach disks to machines, running or stopped."""

from __future__ import annotations

import sys
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidVolumeAttachmentError,
    InvalidVolumeDetachmentError,
    MissingParameterError,
)
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_block_store import VolumeAttachment
from moto.ec2.responses import EC2Response

from localcloud.core.cloud import Cloud, regional_backends
from localcloud.core.overrides import replace_methods
from localcloud.core.queues import run_later
from localcloud.ec2 import machine_spec
from localcloud.ec2.machine_pool import MachinePool
from localcloud.machines.errors import MachineError

RETRY_SECONDS = 0.3


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's actions."""

    def attach_volume(self: Any) -> ActionResult:
        """moto attaches any volume to any instance, even if it is attached to another, and at once.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html"""
        backend, device = self.ec2_backend, self._get_param("Device")
        volume = backend.get_volume(self._get_param("VolumeId"))
        instance = backend.get_instance(self._get_param("InstanceId"))
        self.error_on_dryrun()
        check_attachable(volume, instance, device)
        attachment = backend.attach_volume(volume.id, instance.id, device)
        attachment.status = instance.block_device_mapping[device].status = "attaching"
        attach(cloud, pool, attachment)
        return attachment_response(attachment)

    def detach_volume(self: Any) -> ActionResult:
        """moto detaches at once, including the root volume of a running machine.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachVolume.html"""
        volume = self.ec2_backend.get_volume(self._get_param("VolumeId"))
        attachment = volume.attachment
        self.error_on_dryrun()
        check_detachable(volume, self._get_param("InstanceId"), self._get_param("Device"))
        if attachment.status in ("attaching", "attached"):
            set_status(attachment, "detaching")
            detach(cloud, pool, attachment)
        return attachment_response(attachment)

    def delete_on_termination(self: Any) -> bool:
        """moto omits it from DescribeVolumes. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VolumeAttachment.html"""
        device = self.instance.block_device_mapping.get(self.device)
        return bool(device and device.delete_on_termination)

    replace_methods(EC2Response, attach_volume, detach_volume)
    VolumeAttachment.delete_on_termination = property(delete_on_termination)


def check_attachable(volume: Any, instance: Any, device: str | None) -> None:
    """Raise EC2's error if the volume cannot be attached to the instance.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
    if not device:
        raise MissingParameterError("device")
    if volume.attachment:
        raise EC2ClientError("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.status != "available":
        raise EC2ClientError("IncorrectState", f"{volume.id} is not 'available'.")
    if instance.state not in ("running", "stopped"):
        raise EC2ClientError("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.availability_zone != instance.availability_zone:
        problem = f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'"
        raise EC2ClientError("InvalidVolume.ZoneMismatch", problem)
    if device in instance.block_device_mapping:
        problem = f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        raise EC2ClientError("InvalidParameterValue", problem)


def check_detachable(volume: Any, instance_id: str | None, device: str | None) -> None:
    """Raise EC2's error if the volume is not attached there, or cannot be detached."""
    attachment = volume.attachment
    if attachment is None:
        raise EC2ClientError("IncorrectState", f"Volume '{volume.id}' is in the '{volume.status}' state.")
    instance = attachment.instance
    if instance_id and instance_id != instance.id:
        raise InvalidVolumeAttachmentError(volume.id, instance_id)
    if device and device != attachment.device:
        raise InvalidVolumeDetachmentError(volume.id, instance.id, device)
    if attachment.device == instance.root_device_name and instance.state != "stopped":
        problem = f"Unable to detach root volume '{attachment.device}' from instance '{instance.id}'"
        raise EC2ClientError("OperationNotPermitted", problem)


def attach(cloud: Cloud, pool: MachinePool, attachment: Any) -> None:
    """Attach the disk: attaching -> attached. A machine that is off gets the disk at its next start."""
    volume, instance = attachment.volume, attachment.instance

    def work() -> None:
        stuck = cloud.faults.consume("AttachVolume", "stuck_attach")
        if stuck is None:
            attach_disk()
        elif stuck.seconds:
            run_later(stuck.seconds, cloud.queues.submit, instance.id, attach_disk)

    def attach_disk() -> None:
        if volume.attachment is not attachment or attachment.status != "attaching":
            return  # detached, or its instance was terminated meanwhile
        try:
            if machine := pool.machine(instance):
                machine.attach_volume(machine_spec.data_volume(cloud, volume))
        except MachineError as error:
            print(f"{volume.id}: {error}", file=sys.stderr, flush=True)
            release(cloud, attachment)
            return
        with cloud.change():
            set_status(attachment, "attached")

    cloud.queues.submit(instance.id, work)


def detach(cloud: Cloud, pool: MachinePool, attachment: Any) -> None:
    """Detach the disk: detaching -> detached, with `busy` in between while the guest has it mounted, as on EC2."""
    volume, instance = attachment.volume, attachment.instance

    def detach_disk() -> bool:
        machine = pool.machine(instance)
        try:
            return machine is None or machine.detach_volume(volume.id)
        except MachineError as error:
            print(f"{volume.id}: {error}", file=sys.stderr, flush=True)
            return False

    def work() -> None:
        if detach_disk():
            release(cloud, attachment)
            return
        with cloud.change():
            set_status(attachment, "busy")
        cloud.queues.submit(volume.id, wait)  # not on the instance's queue, which must stay free for a stop

    def wait() -> None:
        while not pool.ended.wait(RETRY_SECONDS) and volume.attachment is attachment:
            if detach_disk():
                release(cloud, attachment)
        cloud.queues.close(volume.id)

    cloud.queues.submit(instance.id, work)


def release(cloud: Cloud, attachment: Any) -> None:
    """Make the volume available again."""
    volume, instance = attachment.volume, attachment.instance
    with cloud.change():
        if volume.attachment is attachment:
            volume.ec2_backend.detach_volume(volume.id, instance.id, attachment.device)


def resume(cloud: Cloud, pool: MachinePool) -> None:
    """Complete interrupted attachments after a restart, before machines are launched."""
    for backend in regional_backends(ec2_backends):
        for volume in list(backend.volumes.values()):
            attachment = volume.attachment
            if attachment and attachment.status in ("detaching", "busy"):
                release(cloud, attachment)
            elif attachment and attachment.status == "attaching":
                attach(cloud, pool, attachment)


def set_status(attachment: Any, status: str) -> None:
    """Set the status in the volume and in the instance."""
    attachment.status = status
    if device := attachment.instance.block_device_mapping.get(attachment.device):
        device.status = status


def attachment_response(attachment: Any) -> ActionResult:
    return ActionResult({
        "VolumeId": attachment.volume.id, "InstanceId": attachment.instance.id, "Device": attachment.device,
        "State": attachment.status, "AttachTime": attachment.attach_time,
        "DeleteOnTermination": attachment.delete_on_termination,
    })  # fmt: skip
