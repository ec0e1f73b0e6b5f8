"""Target health is probed, and requests really go through the balancer."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import control
from tests.support import memory_machines
from tests.support.cloud_fleet import TrafficGenerator
from tests.support.cloud_server import client, eventually

pytestmark = pytest.mark.skipif(
    not (shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")), reason="needs HAProxy"
)


def run_two(fleet_cloud: Any, delay: float = 0.5) -> tuple[str, list[str]]:
    arn = fleet_cloud.make_balancer(delay)
    fleet_cloud.make_group(
        fleet_cloud.template(fleet_cloud.bake("v1")), 2, TargetGroupARNs=[arn], HealthCheckType="ELB"
    )
    instances = fleet_cloud.in_service(2)
    fleet_cloud.healthy(arn, 2)
    return arn, instances


def test_requests_reach_the_healthy_targets(fleet_cloud: Any) -> None:
    arn, instances = run_two(fleet_cloud)
    assert fleet_cloud.elbv2.describe_load_balancers()["LoadBalancers"][0]["State"]["Code"] == "active"
    observed = {fleet_cloud.get()[1] for _ in range(6)}
    assert observed == {f"{one} v1" for one in instances}
    fleet_cloud.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["ReplaceUnhealthy"])
    fleet_cloud.machine(instances[0]).sick = True
    eventually(lambda: fleet_cloud.health(arn)[instances[0]] == "unhealthy", 6)
    (response,) = fleet_cloud.elbv2.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": instances[0]}])[
        "TargetHealthDescriptions"
    ]
    assert response["TargetHealth"]["Reason"] == "Target.ResponseCodeMismatch"
    assert "[500]" in response["TargetHealth"]["Description"]
    eventually(lambda: {fleet_cloud.get()[1] for _ in range(4)} == {f"{instances[1]} v1"})
    fleet_cloud.machine(instances[1]).sick = True  # none is healthy: as on AWS, all get requests
    eventually(lambda: fleet_cloud.health(arn)[instances[1]] == "unhealthy", 6)
    eventually(lambda: len({fleet_cloud.get()[1] for _ in range(6)}) == 2)
    fleet_cloud.machine(instances[0]).sick = fleet_cloud.machine(instances[1]).sick = False
    eventually(lambda: set(fleet_cloud.health(arn).values()) == {"healthy"}, 6)


def test_a_member_that_fails_its_health_check_is_replaced_after_the_grace_period(fleet_cloud: Any) -> None:
    arn, (first, _) = run_two(fleet_cloud)
    fleet_cloud.machine(first).sick = True
    eventually(lambda: first not in fleet_cloud.members("InService") and len(fleet_cloud.members("InService")) == 2, 10)
    response = fleet_cloud.autoscaling.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert any("ELB system health check failure" in one["Cause"] for one in response)
    eventually(lambda: first not in fleet_cloud.health(arn), 6)


def test_no_request_fails_while_members_are_replaced(fleet_cloud: Any) -> None:
    # A request that outlasts the delay is cut, as on AWS. All of this is one process, where a busy machine makes any wait.
    arn, instances = run_two(fleet_cloud, delay=3)
    with TrafficGenerator(fleet_cloud.address) as visitors:
        for one in instances:
            fleet_cloud.autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=one, ShouldDecrementDesiredCapacity=False
            )
            eventually(
                lambda one=one: one not in fleet_cloud.members() and len(fleet_cloud.members("InService")) == 2, 20
            )
            fleet_cloud.healthy(arn, 2)
    assert visitors.failures == []
    assert len(visitors.served) > 20


def test_a_request_in_flight_ends_before_its_target_goes(fleet_cloud: Any) -> None:
    arn, instances = run_two(fleet_cloud)
    fleet_cloud.elbv2.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "6"}]
    )
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(fleet_cloud.get("/slow"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [200] * 4
    assert "draining" in fleet_cloud.health(arn).values()
    eventually(lambda: len(fleet_cloud.health(arn)) == 1, 15)
    assert set(fleet_cloud.health(arn)) < set(instances)


def test_weights_and_rules_route(fleet_cloud: Any) -> None:
    arn, _ = run_two(fleet_cloud)
    vpc = fleet_cloud.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    other = fleet_cloud.make_target_group("next", vpc)
    instance = fleet_cloud.run(ImageId=fleet_cloud.bake("v2"))
    fleet_cloud.wait(instance, "running")
    fleet_cloud.elbv2.register_targets(TargetGroupArn=other, Targets=[{"Id": instance}])
    assert fleet_cloud.health(other) == {instance: "unused"}
    shares = [{"TargetGroupArn": arn, "Weight": 50}, {"TargetGroupArn": other, "Weight": 50}]
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
    fleet_cloud.elbv2.modify_listener(ListenerArn=fleet_cloud.listener, DefaultActions=[action])
    fleet_cloud.healthy(other, 1)
    eventually(lambda: fleet_cloud.get()[1].endswith("v2"))
    served = [fleet_cloud.get()[1].split()[1] for _ in range(60)]
    assert 10 < served.count("v2") < 50
    shares[0]["Weight"], shares[1]["Weight"] = 0, 100
    with TrafficGenerator(fleet_cloud.address) as visitors:
        fleet_cloud.elbv2.modify_listener(ListenerArn=fleet_cloud.listener, DefaultActions=[action])
        time.sleep(1)
    assert visitors.failures == []
    assert {fleet_cloud.get()[1].split()[1] for _ in range(10)} == {"v2"}
    fleet_cloud.elbv2.create_rule(
        ListenerArn=fleet_cloud.listener, Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/it's*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418", "MessageBody": "I'm a \"pot\""}}],
    )  # fmt: skip
    eventually(lambda: fleet_cloud.get("/it's/here") == (418, 'I\'m a "pot"'))
    assert fleet_cloud.get()[0] == 200


def test_a_killed_target_is_noticed_and_the_balancer_survives_a_restart(fleet_cloud: Any) -> None:
    arn, instances = run_two(fleet_cloud)
    address = fleet_cloud.address
    fleet_cloud.restart()
    fleet_cloud.in_service(2)
    fleet_cloud.healthy(arn, 2)
    assert fleet_cloud.elbv2.describe_load_balancers()["LoadBalancers"][0]["DNSName"] == address
    assert {fleet_cloud.get()[1] for _ in range(6)} == {f"{one} v1" for one in instances}


def test_a_sick_target_can_be_ordered_and_a_balancer_goes_with_its_address(fleet_cloud: Any) -> None:
    fleet_cloud.server.cloud.faults.add({"kind": "unhealthy_target"})
    arn = fleet_cloud.make_balancer()
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 1, TargetGroupARNs=[arn])
    (instance,) = fleet_cloud.in_service(1)
    eventually(lambda: fleet_cloud.health(arn) == {instance: "unhealthy"})
    (group,) = fleet_cloud.elbv2.describe_target_groups()["TargetGroups"]
    (balancer,) = fleet_cloud.elbv2.describe_load_balancers()["LoadBalancers"]
    assert group["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]
    fleet_cloud.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert fleet_cloud.elbv2.describe_target_groups()["TargetGroups"][0]["LoadBalancerArns"] == []

    def refused() -> bool:
        try:
            return fleet_cloud.get()[0] == 0
        except OSError as error:
            return "refused" in str(error)

    eventually(refused)
    assert fleet_cloud.health(arn) == {instance: "unused"}


def test_a_killed_cloud_leaves_no_balancer_running_and_has_it_again_after_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDENAMI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(control.__file__).parent.parent))
    serve = (sys.executable, str(Path(memory_machines.__file__)))
    info = control.up(tmp_path / "state", lambda _: None, serve)
    try:
        keys = (info.access_key, info.secret_key)
        ec2, elbv2 = (client(info.endpoint, service, keys=keys) for service in ("ec2", "elbv2"))
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        created = elbv2.create_load_balancer(Name="web", Subnets=[subnet])["LoadBalancers"][0]
        action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "here"}}
        elbv2.create_listener(
            LoadBalancerArn=created["LoadBalancerArn"], Port=80, Protocol="HTTP", DefaultActions=[action]
        )

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://{created['DNSName']}/", timeout=2) as answer:
                    return bool(answer.read() == b"here")
            except OSError:
                return False

        eventually(answers, 10)
        os.kill(info.pid, signal.SIGKILL)
        eventually(lambda: not answers(), 5)
        control.up(tmp_path / "state", lambda _: None, serve)
        eventually(answers, 10)
    finally:
        control.down(tmp_path / "state", lambda _: None)
    assert not answers()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nftables")
def test_a_port_that_a_program_of_the_host_holds_is_led_around_it(fleet_cloud: Any) -> None:
    fleet_cloud.make_balancer()
    (balancer,) = fleet_cloud.elbv2.describe_load_balancers()["LoadBalancers"]
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "here"}}
        fleet_cloud.elbv2.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Port=port, Protocol="HTTP", DefaultActions=[action]
        )
        other.setblocking(False)

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://{fleet_cloud.address}:{port}/", timeout=1) as answer:
                    return bool(answer.read() == b"here")
            except OSError:
                return False

        eventually(answers)
        assert fleet_cloud.get()[0] == 503
    fleet_cloud.server.stop()
    assert not answers()
    fleet_cloud.start()
    eventually(answers)


def test_what_the_data_plane_does_not_speak_is_refused(fleet_cloud: Any) -> None:
    arn = fleet_cloud.make_balancer()
    (balancer,) = fleet_cloud.elbv2.describe_load_balancers()["LoadBalancers"]
    with pytest.raises(ClientError, match=r"\(UnsupportedOperation\).*HTTPS"):
        fleet_cloud.elbv2.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Port=443,
            Protocol="HTTPS",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )
