"""What a guest has of the cloud's data services: volumes, S3 with its role's credentials, a database's address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.machines import choose_driver
from localcloud.machines.container import driver
from localcloud.machines.errors import MachineError
from localcloud.rds import postgres
from localcloud.state_dir import default_cache_dir
from localcloud.storage import base_image
from tests.support.cloud_server import CloudHarness, client, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        driver.unavailable_reason() is not None, reason=f"no containers here: {driver.unavailable_reason()}"
    ),
]
ZONE = "ap-northeast-2a"

# The role's credentials from the metadata service, as variables of the shell.
CREDENTIALS = r"""
imds=http://169.254.169.254/latest
token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
get() { curl -sf -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/iam/security-credentials/$1"; }
held=$(get "$(get '')")
field() { printf '%s' "$held" | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
s3() { curl -sS --fail-with-body --aws-sigv4 aws:amz:ap-northeast-2:s3 --user "$(field AccessKeyId):$(field SecretAccessKey)" \
  -H "x-amz-security-token: $(field Token)" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"; }
"""


class MachineCloud(CloudHarness):
    """A cloud of real containers."""

    driver_type = staticmethod(lambda: choose_driver("container"))

    def __init__(self, root: Path) -> None:
        self.real_base = base_image.ensure_base_image(default_cache_dir(), print)
        super().__init__(root)

    def start(self) -> None:
        self.base = self.real_base
        super().start()
        self.server.databases.ending.clear()

    def inside(self, instance: str, script: str) -> str:
        """What a shell script prints, run as root in the machine."""
        try:
            code, out, err = self.server.machine_pool.running()[instance].run(("bash", "-euc", script), b"", 60)
        except MachineError as error:  # it still boots
            return str(error)
        return out.decode().strip() if code == 0 else f"status {code}: {err.decode()}{out.decode()}"


@pytest.fixture
def machine_cloud(tmp_path: Path) -> Iterator[MachineCloud]:
    cloud = MachineCloud(tmp_path)
    yield cloud
    cloud.server.stop()


def role(cloud: Any) -> str:
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
    cloud.iam.create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps(trust))
    cloud.iam.create_instance_profile(InstanceProfileName="app")
    cloud.iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    return "app"


def test_a_guest_uses_volumes_s3_and_a_database(machine_cloud: MachineCloud) -> None:
    if postgres.unavailable_reason() is None:
        rds = client(machine_cloud.server.endpoint, "rds")
        rds.create_db_instance(DBInstanceIdentifier="db", DBInstanceClass="db.t4g.micro", Engine="postgres",
                               MasterUsername="app", MasterUserPassword="secret-word", AllocatedStorage=20)  # fmt: skip
    instance = machine_cloud.run(IamInstanceProfile={"Name": role(machine_cloud)}, Placement={"AvailabilityZone": ZONE})
    eventually(lambda: machine_cloud.instance(instance)["State"]["Name"] == "running", 60)
    eventually(lambda: machine_cloud.inside(instance, "systemctl is-active ssh") == "active", 30)

    data = machine_cloud.ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    state = lambda: machine_cloud.ec2.describe_volumes(VolumeIds=[data])["Volumes"][0]["State"]  # noqa: E731
    eventually(lambda: state() == "available")
    machine_cloud.ec2.attach_volume(VolumeId=data, InstanceId=instance, Device="/dev/sdf")
    link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{data.replace('-', '')}"
    make = f"until [ -b {link} ]; do sleep 0.1; done; mkfs.ext4 -q {link}; mount {link} /mnt; echo kept >/mnt/row; cat /mnt/row"
    assert machine_cloud.inside(instance, make) == "kept"
    machine_cloud.ec2.stop_instances(InstanceIds=[instance])
    eventually(lambda: machine_cloud.instance(instance)["State"]["Name"] == "stopped", 60)
    machine_cloud.ec2.start_instances(InstanceIds=[instance])
    eventually(lambda: machine_cloud.instance(instance)["State"]["Name"] == "running", 60)
    eventually(lambda: machine_cloud.inside(instance, "systemctl is-active ssh") == "active", 30)
    assert machine_cloud.inside(instance, f"mount {link} /mnt; cat /mnt/row") == "kept"
    machine_cloud.ec2.detach_volume(VolumeId=data)
    eventually(
        lambda: machine_cloud.ec2.describe_volumes(VolumeIds=[data])["Volumes"][0]["Attachments"][0]["State"] == "busy"
    )
    assert machine_cloud.inside(instance, "umount /mnt; echo done") == "done"
    eventually(lambda: state() == "available")

    machine_cloud.s3.create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    machine_cloud.s3.put_bucket_versioning(Bucket="backups", VersioningConfiguration={"Status": "Enabled"})
    upload = f"""{CREDENTIALS}
head -c 3000000 /dev/urandom >/tmp/dump
sum=$(sha256sum /tmp/dump | cut -c1-64)
encoded=$(printf "$(printf %s "$sum" | sed 's/../\\\\x&/g')" | base64)
s3 -T /tmp/dump -H "x-amz-checksum-sha256: $encoded" -H 'x-amz-server-side-encryption: AES256' $AWS_ENDPOINT_URL/backups/dump
s3 {machine_cloud.server.endpoint}/backups/dump | cmp - /tmp/dump
echo "$sum"
"""
    digest = machine_cloud.inside(instance, f"export AWS_ENDPOINT_URL=http://169.254.169.250; {upload}")
    response = machine_cloud.s3.head_object(Bucket="backups", Key="dump", ChecksumMode="ENABLED")
    assert (response["ContentLength"], response["ServerSideEncryption"]) == (3000000, "AES256")
    assert len(digest) == 64, digest
    torn = upload.replace("s3 -T /tmp/dump", "truncate -s 2M /tmp/dump; s3 -T /tmp/dump")
    torn = torn.replace("$AWS_ENDPOINT_URL", machine_cloud.server.endpoint)
    assert "BadDigest" in machine_cloud.inside(instance, torn)
    url = machine_cloud.s3.generate_presigned_url(
        "put_object", Params={"Bucket": "backups", "Key": "streamed"}, ExpiresIn=60
    )
    assert machine_cloud.inside(instance, f"head -c 2000000 /dev/zero | curl -sSf -T - '{url}'; echo sent") == "sent"
    assert machine_cloud.s3.head_object(Bucket="backups", Key="streamed")["ContentLength"] == 2000000

    if postgres.unavailable_reason() is None:
        response = lambda: rds.describe_db_instances()["DBInstances"][0]  # noqa: E731
        eventually(lambda: response()["DBInstanceStatus"] == "available", 30)
        address = response()["Endpoint"]["Address"]
        # The protocol's SSLRequest, and the server's yes.
        ask = rf"exec 3<>/dev/tcp/{address}/5432; printf '\0\0\0\10\4\322\26\57' >&3; head -c 1 <&3"
        assert machine_cloud.inside(instance, ask) == "S"
