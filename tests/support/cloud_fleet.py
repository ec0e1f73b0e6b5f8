"""Machines that serve HTTP, and the calls that the fleet's tests share. A machine's disk says what it serves.

A disk begins with a line such as `v2` (healthy), `v3 sick` (the health check fails), `v4 mute` (the server never
listens) or `v5 fickle` (healthy at first, then the server crashes).
"""

from __future__ import annotations

import contextlib
import http.server
import socketserver
import threading
import time
from typing import Any

from localcloud.elbv2 import targets
from tests.support.cloud_server import CloudHarness, eventually, head
from tests.support.memory_machines import MemoryDriver, MemoryMachine

PORT = 8080
CRASH_SECONDS = 2.0


class WebServer(socketserver.ThreadingTCPServer):
    """A machine's web server: /health, /slow, and the machine's id and content on any other path."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, machine: WebMachine) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                if self.path == "/slow":
                    time.sleep(1)
                text = f"{machine.spec.instance_id} {machine.serves}".encode()
                sick = self.path == "/health" and (machine.sick or "sick" in machine.serves)
                self.send_response(500 if sick else 200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        super().__init__((address, PORT), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class WebMachine(MemoryMachine):
    serves = ""
    sick = False
    site: WebServer | None = None

    def start(self) -> None:
        super().start()
        self.serves = head(self.spec.disk, 40).split(b"\0")[0].decode().strip()
        if "mute" not in self.serves:
            self.site = WebServer(self.spec.address, self)
        if "fickle" in self.serves:
            threading.Timer(CRASH_SECONDS, self.close).start()

    def stop(self, timeout: float) -> None:
        super().stop(timeout)
        self.close()

    def kill(self) -> None:
        super().kill()
        self.close()

    def close(self) -> None:
        site, self.site = self.site, None
        if site:
            site.shutdown()
            site.server_close()


class WebDriver(MemoryDriver):
    def machine(self, spec: Any) -> WebMachine:
        self.machines.append(WebMachine(spec, self))
        return self.machines[-1]  # type: ignore[return-value]


class FleetCloud(CloudHarness):
    """A cloud with a launch template, a group, and (on request) a load balancer."""

    driver_type = WebDriver

    def bake(self, serves: str, name: str = "") -> str:
        """Create an AMI whose machines serve this content."""
        instance = self.run()
        self.wait(instance, "running")
        with self.volume(instance).open("r+b") as disk:
            disk.write(serves.encode().ljust(40, b"\0"))
        name = name or f"app {serves} {time.time_ns()}"
        ami = self.ec2.create_image(InstanceId=instance, Name=name, NoReboot=True)["ImageId"]
        self.wait_image(ami)
        self.ec2.terminate_instances(InstanceIds=[instance])
        return str(ami)

    def template(self, ami: str, **data: Any) -> dict[str, str]:
        """Create the launch template `web` with its first version."""
        response = self.ec2.create_launch_template(
            LaunchTemplateName="web", LaunchTemplateData={"ImageId": ami, "InstanceType": "t3.micro", **data}
        )
        return {"LaunchTemplateId": response["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"}

    def version(self, ami: str) -> dict[str, str]:
        """Create another version, based on the latest one."""
        version = self.ec2.create_launch_template_version(
            LaunchTemplateName="web", SourceVersion="$Latest", LaunchTemplateData={"ImageId": ami}
        )["LaunchTemplateVersion"]
        return {"LaunchTemplateId": version["LaunchTemplateId"], "Version": str(version["VersionNumber"])}

    def make_group(self, template: dict[str, str], size: int, **options: Any) -> None:
        settings: dict[str, Any] = {"AvailabilityZones": ["ap-northeast-2a"], "HealthCheckGracePeriod": 0, **options}
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName="web", MinSize=0, MaxSize=4, DesiredCapacity=size, LaunchTemplate=template, **settings
        )

    def group(self) -> Any:
        (group,) = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"]
        return group

    def members(self, *states: str) -> list[str]:
        return [one["InstanceId"] for one in self.group()["Instances"] if not states or one["LifecycleState"] in states]

    def in_service(self, size: int, seconds: float = 8) -> list[str]:
        """Wait until the group has exactly `size` members, all in service, and return their ids."""
        eventually(lambda: len(self.members("InService")) == len(self.members()) == size, seconds)
        return self.members()

    def machine(self, instance_id: str) -> WebMachine:
        return self.driver.launched(instance_id)[-1]  # type: ignore[return-value]

    def make_balancer(self, delay: float = 0.5) -> str:
        """Create a load balancer on port 80 with a target group, and return the target group's ARN."""
        subnets = [one["SubnetId"] for one in self.ec2.describe_subnets()["Subnets"]][:2]
        vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        balancer = self.elbv2.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]
        arn = self.make_target_group("web", vpc, delay)
        self.listener = self.elbv2.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Port=80,
            Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )["Listeners"][0]["ListenerArn"]
        self.address = balancer["DNSName"]
        return arn

    def make_target_group(self, name: str, vpc: str, delay: float = 0.5) -> str:
        arn = self.elbv2.create_target_group(
            Name=name, Protocol="HTTP", Port=PORT, VpcId=vpc, HealthCheckPath="/health", HealthyThresholdCount=2,
            UnhealthyThresholdCount=2, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
        (group,) = [one for one in targets.list_target_groups() if one.arn == arn]
        group.health_check_interval_seconds = 0.2  # less than the API's minimum of 5
        group.attributes["deregistration_delay.timeout_seconds"] = delay
        return str(arn)

    def health(self, arn: str) -> dict[str, str]:
        targets = self.elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {target["Target"]["Id"]: target["TargetHealth"]["State"] for target in targets}

    def healthy(self, arn: str, size: int) -> None:
        eventually(lambda: list(self.health(arn).values()) == ["healthy"] * size, 8)

    def get(self, path: str = "/") -> tuple[int, str]:
        """Send a request to the load balancer, and return the status and the body."""
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


class TrafficGenerator:
    """Sends requests to the load balancer, on persistent and on new connections, and records failures."""

    def __init__(self, address: str, rate: float = 20, path: str = "/") -> None:
        self.address, self.rate, self.path = address, rate, path
        self.failures: list[str] = []
        self.served: list[str] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._send_requests, args=(persistent,)) for persistent in (True, False)
        ]

    def __enter__(self) -> TrafficGenerator:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send_requests(self, persistent: bool) -> None:
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        while not self._ended.wait(2 / self.rate):
            try:
                connection.request("GET", self.path)
                response = connection.getresponse()
                text = response.read().decode()
                if response.status == 200:
                    self.served.append(text)
                else:
                    self.failures.append(f"{response.status} {text}")
                if not persistent:
                    connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                with contextlib.suppress(OSError):
                    connection.close()
        connection.close()
