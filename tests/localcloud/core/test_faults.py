"""Faults that a test orders, and what moto cannot do: always an error that an SDK understands."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud import control
from localcloud.errors import CloudError
from tests.support.cloud_server import client, eventually


def add_fault(cloud: Any, **fault: Any) -> None:
    control.request(cloud.server.endpoint, cloud.folder.read_owner(), "POST", "faults", fault)


def test_throttling_is_the_service_s_own_error(cloud: Any) -> None:
    add_fault(cloud, kind="throttle", times=2)
    with pytest.raises(ClientError, match=r"\(RequestLimitExceeded\)"):
        cloud.ec2.describe_images()
    with pytest.raises(ClientError, match=r"\(ThrottlingException\)"):
        cloud.ssm.describe_parameters()
    cloud.ec2.describe_images()


def test_retries_get_through_a_passing_fault(cloud: Any) -> None:
    add_fault(cloud, kind="error500", action="DescribeImages", times=1)
    patient = client(cloud.server.endpoint, "ec2", attempts=3)
    assert patient.describe_images()["ResponseMetadata"]["RetryAttempts"] == 1


def test_a_lost_reply_comes_after_the_effect(cloud: Any) -> None:
    add_fault(cloud, kind="lost_reply", action="RunInstances")
    with pytest.raises(ConnectionClosedError):
        cloud.run(ClientToken="lost")
    again = cloud.run(ClientToken="lost")
    (reservation,) = cloud.ec2.describe_instances()["Reservations"]
    assert [one["InstanceId"] for one in reservation["Instances"]] == [again]


def test_an_image_can_be_late_or_fail(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    add_fault(cloud, kind="late_ami", seconds=0.7)
    started = time.monotonic()
    ami = cloud.ec2.create_image(InstanceId=instance, Name="late", NoReboot=True)["ImageId"]
    eventually(lambda: cloud.snapshot(ami).exists())
    assert cloud.image(ami)["State"] == "pending"
    cloud.wait_image(ami)
    assert time.monotonic() - started > 0.7
    add_fault(cloud, kind="failed_ami")
    ami = cloud.ec2.create_image(InstanceId=instance, Name="failed", NoReboot=True)["ImageId"]
    assert cloud.wait_image(ami, "failed")["StateReason"]["Code"] == "Client.InternalError"


def test_a_launch_can_fail_and_a_reply_be_slow(cloud: Any) -> None:
    add_fault(cloud, kind="failed_launch")
    cloud.wait(cloud.run(), "terminated")
    add_fault(cloud, kind="delay", action="DescribeImages", seconds=0.3)
    started = time.monotonic()
    cloud.ec2.describe_images()
    assert time.monotonic() - started > 0.3


def test_orders_are_checked_listed_and_cleared(cloud: Any) -> None:
    with pytest.raises(CloudError, match="kind: expected one of throttle"):
        add_fault(cloud, kind="earthquake")
    add_fault(cloud, kind="throttle", times=5)
    assert control.request(cloud.server.endpoint, cloud.folder.read_owner(), "GET", "faults")["faults"][0]["times"] == 5
    control.request(cloud.server.endpoint, cloud.folder.read_owner(), "DELETE", "faults")
    cloud.ec2.describe_images()


def test_what_moto_lacks_is_a_client_error(cloud: Any) -> None:
    autoscaling = client(cloud.server.endpoint, "autoscaling")
    for call in (
        lambda: cloud.ec2.describe_instance_topology(),
        lambda: cloud.ssm.list_nodes(),
        lambda: autoscaling.get_predictive_scaling_forecast(
            AutoScalingGroupName="x", PolicyName="x", StartTime=0, EndTime=1
        ),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "UnsupportedOperation"
