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


def run_two(town: Any, delay: float = 0.5) -> tuple[str, list[str]]:
    arn = town.make_balancer(delay)
    town.make_group(town.template(town.bake("v1")), 2, TargetGroupARNs=[arn], HealthCheckType="ELB")
    instances = town.in_service(2)
    town.healthy(arn, 2)
    return arn, instances


def test_requests_reach_the_healthy_targets(town: Any) -> None:
    arn, instances = run_two(town)
    assert town.elbv2.describe_load_balancers()["LoadBalancers"][0]["State"]["Code"] == "active"
    seen = {town.get()[1] for _ in range(6)}
    assert seen == {f"{one} v1" for one in instances}
    town.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["ReplaceUnhealthy"])
    town.machine(instances[0]).sick = True
    eventually(lambda: town.health(arn)[instances[0]] == "unhealthy", 6)
    (told,) = town.elbv2.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": instances[0]}])[
        "TargetHealthDescriptions"
    ]
    assert told["TargetHealth"]["Reason"] == "Target.ResponseCodeMismatch"
    assert "[500]" in told["TargetHealth"]["Description"]
    eventually(lambda: {town.get()[1] for _ in range(4)} == {f"{instances[1]} v1"})
    town.machine(instances[1]).sick = True  # none is healthy: as on AWS, all get requests
    eventually(lambda: town.health(arn)[instances[1]] == "unhealthy", 6)
    eventually(lambda: len({town.get()[1] for _ in range(6)}) == 2)
    town.machine(instances[0]).sick = town.machine(instances[1]).sick = False
    eventually(lambda: set(town.health(arn).values()) == {"healthy"}, 6)


def test_a_member_that_fails_its_health_check_is_replaced_after_the_grace_period(town: Any) -> None:
    arn, (first, _) = run_two(town)
    town.machine(first).sick = True
    eventually(lambda: first not in town.members("InService") and len(town.members("InService")) == 2, 10)
    told = town.autoscaling.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert any("ELB system health check failure" in one["Cause"] for one in told)
    eventually(lambda: first not in town.health(arn), 6)


def test_no_request_fails_while_members_are_replaced(town: Any) -> None:
    # A request that outlasts the delay is cut, as on AWS. All of this is one process, where a busy machine makes any wait.
    arn, instances = run_two(town, delay=3)
    with TrafficGenerator(town.address) as visitors:
        for one in instances:
            town.autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=one, ShouldDecrementDesiredCapacity=False
            )
            eventually(lambda one=one: one not in town.members() and len(town.members("InService")) == 2, 20)
            town.healthy(arn, 2)
    assert visitors.failures == []
    assert len(visitors.served) > 20


def test_a_request_in_flight_ends_before_its_target_goes(town: Any) -> None:
    arn, instances = run_two(town)
    town.elbv2.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "6"}]
    )
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(town.get("/slow"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [200] * 4
    assert "draining" in town.health(arn).values()
    eventually(lambda: len(town.health(arn)) == 1, 15)
    assert set(town.health(arn)) < set(instances)


def test_weights_and_rules_route(town: Any) -> None:
    arn, _ = run_two(town)
    vpc = town.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    other = town.make_target_group("next", vpc)
    instance = town.run(ImageId=town.bake("v2"))
    town.wait(instance, "running")
    town.elbv2.register_targets(TargetGroupArn=other, Targets=[{"Id": instance}])
    assert town.health(other) == {instance: "unused"}
    shares = [{"TargetGroupArn": arn, "Weight": 50}, {"TargetGroupArn": other, "Weight": 50}]
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
    town.elbv2.modify_listener(ListenerArn=town.listener, DefaultActions=[action])
    town.healthy(other, 1)
    eventually(lambda: town.get()[1].endswith("v2"))
    served = [town.get()[1].split()[1] for _ in range(60)]
    assert 10 < served.count("v2") < 50
    shares[0]["Weight"], shares[1]["Weight"] = 0, 100
    with TrafficGenerator(town.address) as visitors:
        town.elbv2.modify_listener(ListenerArn=town.listener, DefaultActions=[action])
        time.sleep(1)
    assert visitors.failures == []
    assert {town.get()[1].split()[1] for _ in range(10)} == {"v2"}
    town.elbv2.create_rule(
        ListenerArn=town.listener, Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/it's*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418", "MessageBody": "I'm a \"pot\""}}],
    )  # fmt: skip
    eventually(lambda: town.get("/it's/here") == (418, 'I\'m a "pot"'))
    assert town.get()[0] == 200


def test_a_killed_target_is_noticed_and_the_balancer_survives_a_restart(town: Any) -> None:
    arn, instances = run_two(town)
    address = town.address
    town.restart()
    town.in_service(2)
    town.healthy(arn, 2)
    assert town.elbv2.describe_load_balancers()["LoadBalancers"][0]["DNSName"] == address
    assert {town.get()[1] for _ in range(6)} == {f"{one} v1" for one in instances}


def test_a_sick_target_can_be_ordered_and_a_balancer_goes_with_its_address(town: Any) -> None:
    town.server.cloud.faults.add({"kind": "unhealthy_target"})
    arn = town.make_balancer()
    town.make_group(town.template(town.bake("v1")), 1, TargetGroupARNs=[arn])
    (instance,) = town.in_service(1)
    eventually(lambda: town.health(arn) == {instance: "unhealthy"})
    (group,) = town.elbv2.describe_target_groups()["TargetGroups"]
    (balancer,) = town.elbv2.describe_load_balancers()["LoadBalancers"]
    assert group["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]
    town.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert town.elbv2.describe_target_groups()["TargetGroups"][0]["LoadBalancerArns"] == []

    def refused() -> bool:
        try:
            return town.get()[0] == 0
        except OSError as error:
            return "refused" in str(error)

    eventually(refused)
    assert town.health(arn) == {instance: "unused"}


def test_a_killed_cloud_leaves_no_balancer_running_and_has_it_again_after_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDENAMI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(control.__file__).parent.parent))
    serve = (sys.executable, str(Path(memory_machines.__file__)))
    info = control.up(tmp_path / "state", lambda _: None, serve)
    try:
        ec2, elbv2 = client(info.endpoint, "ec2"), client(info.endpoint, "elbv2")
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        made = elbv2.create_load_balancer(Name="web", Subnets=[subnet])["LoadBalancers"][0]
        action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "here"}}
        elbv2.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"], Port=80, Protocol="HTTP", DefaultActions=[action]
        )

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://{made['DNSName']}/", timeout=2) as answer:
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
def test_a_port_that_a_program_of_the_host_holds_is_led_around_it(town: Any) -> None:
    town.make_balancer()
    (balancer,) = town.elbv2.describe_load_balancers()["LoadBalancers"]
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "here"}}
        town.elbv2.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Port=port, Protocol="HTTP", DefaultActions=[action]
        )
        other.setblocking(False)

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://{town.address}:{port}/", timeout=1) as answer:
                    return bool(answer.read() == b"here")
            except OSError:
                return False

        eventually(answers)
        assert town.get()[0] == 503
    town.server.stop()
    assert not answers()
    town.start()
    eventually(answers)


def test_what_the_data_plane_does_not_speak_is_refused(town: Any) -> None:
    arn = town.make_balancer()
    (balancer,) = town.elbv2.describe_load_balancers()["LoadBalancers"]
    with pytest.raises(ClientError, match=r"\(UnsupportedOperation\).*HTTPS"):
        town.elbv2.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Port=443,
            Protocol="HTTPS",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )
