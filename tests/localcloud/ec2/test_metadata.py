"""The metadata service that a guest reaches, through the socket that its machine relays to."""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest


class Guest(http.client.HTTPConnection):
    """HTTP over a UNIX socket, as the relays inside a machine do it."""

    def __init__(self, path: Path, host: str = "169.254.169.254") -> None:
        super().__init__(host)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.path.parent, os.O_PATH)
        self.sock.connect(f"/proc/self/fd/{folder}/{self.path.name}")
        os.close(folder)


class Metadata:
    def __init__(self, socket_path: Path) -> None:
        self.path = socket_path

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        guest = Guest(self.path)
        guest.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        reply = guest.getresponse()
        text = reply.read().decode()
        guest.close()
        return reply.status, text

    def token(self, seconds: str = "60") -> str:
        status, text = self.ask("PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds=seconds)
        assert status == 200
        return text

    def get(self, path: str) -> str:
        status, text = self.ask("GET", path, X_aws_ec2_metadata_token=self.token())
        assert status == 200, (status, path)
        return text


@pytest.fixture
def instance(cloud: Any) -> str:
    cloud.iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")
    cloud.iam.create_instance_profile(InstanceProfileName="app")
    cloud.iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="reader")
    cloud.ec2.create_key_pair(KeyName="me", KeyType="ed25519")
    started: str = cloud.run(
        KeyName="me",
        UserData="#!/bin/bash\necho '한글 $x'\n",
        IamInstanceProfile={"Name": "app"},
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
    )
    cloud.wait(started, "running")
    return started


@pytest.fixture
def metadata(cloud: Any, instance: str) -> Metadata:
    return Metadata(cloud.driver.launched(instance)[0].spec.imds_socket)


def test_tokens_are_required_and_checked(metadata: Metadata) -> None:
    assert metadata.ask("GET", "/latest/meta-data/")[0] == 401
    assert metadata.ask("GET", "/latest/meta-data/", X_aws_ec2_metadata_token="made-up")[0] == 401
    assert metadata.ask("GET", "/latest/api/token")[0] == 405
    for wrong in ("", "0", "21601", "soon"):
        assert metadata.ask("PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds=wrong)[0] == 400
    assert metadata.get("/latest/meta-data/instance-id").startswith("i-")


def test_version_1_answers_where_tokens_are_optional(cloud: Any, instance: str, metadata: Metadata) -> None:
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional", HttpEndpoint="enabled")
    assert metadata.ask("GET", "/latest/meta-data/instance-id") == (200, instance)
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional", HttpEndpoint="disabled")
    assert metadata.ask("GET", "/latest/meta-data/instance-id")[0] == 403


def test_the_tree_describes_the_instance(cloud: Any, instance: str, metadata: Metadata) -> None:
    response = cloud.instance(instance)
    expected = {
        "instance-id": instance,
        "ami-id": response["ImageId"],
        "instance-type": "t3.micro",
        "local-ipv4": response["PrivateIpAddress"],
        "public-ipv4": response["PublicIpAddress"],
        "local-hostname": response["PrivateDnsName"],
        "placement/region": "ap-northeast-2",
        "placement/availability-zone": response["Placement"]["AvailabilityZone"],
        "public-keys/": "0=me",
        "tags/instance/Name": "web",
        "mac": response["NetworkInterfaces"][0]["MacAddress"],
    }
    assert {name: metadata.get(f"/latest/meta-data/{name}") for name in expected} == expected
    assert metadata.get("/latest/meta-data/public-keys/0/openssh-key").startswith("ssh-ed25519 ")
    assert "placement/" in metadata.get("/latest/meta-data/").splitlines()
    document = json.loads(metadata.get("/latest/dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"]) == (instance, "ap-northeast-2")
    token = metadata.token()
    assert metadata.ask("GET", "/latest/meta-data/nothing", X_aws_ec2_metadata_token=token)[0] == 404


def test_user_data_arrives_as_it_was_given(metadata: Metadata) -> None:
    assert metadata.get("/latest/user-data") == "#!/bin/bash\necho '한글 $x'\n"


def test_the_role_s_credentials_are_temporary_and_work(cloud: Any, metadata: Metadata) -> None:
    assert json.loads(metadata.get("/latest/meta-data/iam/info"))["InstanceProfileArn"].endswith("/app")
    assert metadata.get("/latest/meta-data/iam/security-credentials/") == "reader"
    response = json.loads(metadata.get("/latest/meta-data/iam/security-credentials/reader"))
    assert response["Code"] == "Success"
    assert response["AccessKeyId"].startswith("ASIA")
    import boto3

    identity = boto3.client(
        "sts",
        endpoint_url=cloud.server.endpoint,
        region_name="ap-northeast-2",
        aws_access_key_id=response["AccessKeyId"],
        aws_secret_access_key=response["SecretAccessKey"],
        aws_session_token=response["Token"],
    ).get_caller_identity()
    assert ":assumed-role/reader/i-" in identity["Arn"]


def test_the_aws_api_answers_the_guest_too(cloud: Any, instance: str) -> None:
    guest = Guest(cloud.driver.launched(instance)[0].spec.api_socket, "169.254.169.250")
    guest.request("GET", "/")
    assert b"Request is missing Authentication Token" in guest.getresponse().read()
    guest.close()
