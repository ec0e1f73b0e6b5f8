"""Complete bakes: the first bake, an instance of its AMI, and failing gates."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.workspace import Workspace, copy_checkout

pytestmark = pytest.mark.e2e


def get(url: str, data: bytes | None = None, seconds: float = 60) -> tuple[int, str]:
    """Repeat a request until the server responds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def runs(ctx: Workspace) -> list[Path]:
    return sorted(path.parent for path in (ctx.root / "build").glob("*/run.json"))


def test_first_bake_prints_the_id_of_a_verified_ami(ctx: Workspace, baked: str) -> None:
    assert baked.startswith("ami-")
    assert "\n" not in baked
    image = next(image for image in ctx.golden() if image["id"] == baked)
    assert (image["version"], image["status"]) == ("v1.0", "verified")
    tags = image["tags"]
    expected = {"Name": "guestbook-golden-v1.0", "Version": "1.0.0", "Environment": "production", "Go": "1.19"}
    assert {key: tags[key] for key in expected} == expected
    assert ctx.ok("bake").strip() == baked
    assert ctx.candidate() == baked
    assert ctx.leftovers() == []


def test_run_writes_its_provenance(ctx: Workspace, baked: str) -> None:
    folder = runs(ctx)[0]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["image"]["id"] == baked
    assert {"postgresql-15", "golang-go"} <= {package["name"] for package in manifest["packages"]}
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert len(bill["components"]) == len(manifest["packages"])
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"]
    assert all(item["ok"] for item in report["checklist"] if item["applicable"])
    assert "- [x] Health check passed" in (folder / "report.md").read_text()


def test_secrets_are_not_written(ctx: Workspace, baked: str) -> None:
    secret = ctx.client("ssm").get_parameter(Name="/guestbook/production/db/password", WithDecryption=True)
    value = secret["Parameter"]["Value"].encode()
    assert len(value) > 20
    for path in (ctx.root / "build").rglob("*"):
        if path.is_file():
            assert value not in path.read_bytes(), path
    assert not list((ctx.root / "build").rglob("ssh_key")), "the builders' private keys are gone"


def test_manually_launched_instance_serves_the_app_and_keeps_data(ctx: Workspace, baked: str) -> None:
    ec2 = ctx.client("ec2")
    group = ec2.create_security_group(GroupName="by-hand", Description="by hand")["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "127.0.0.0/8"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    launched = ec2.run_instances(
        ImageId=baked,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SecurityGroupIds=[group],
        IamInstanceProfile={"Name": "guestbook-bake"},
    )
    machine = launched["Instances"][0]["InstanceId"]
    try:
        ec2.get_waiter("instance_running").wait(InstanceIds=[machine], WaiterConfig={"Delay": 1})
        address = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]["PublicIpAddress"]
        assert get(f"http://{address}:8080/health")[0] == 200
        entry = json.dumps({"name": "한글", "message": 'it\'s "kept"'}).encode()
        assert get(f"http://{address}:8080/api/entries", entry)[0] in (200, 201)
        ec2.reboot_instances(InstanceIds=[machine])
        time.sleep(2)
        assert "한글" in get(f"http://{address}:8080/api/entries", seconds=90)[1]
    finally:
        ec2.terminate_instances(InstanceIds=[machine])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[machine], WaiterConfig={"Delay": 1})
        ec2.delete_security_group(GroupId=group)
    assert ctx.leftovers() == []


def test_unchanged_bake_launches_nothing(ctx: Workspace, baked: str) -> None:
    before, folders = ctx.launched(), runs(ctx)
    assert ctx.ok("bake").strip() == baked
    assert ctx.launched() == before
    assert runs(ctx) == folders


def test_images_survive_a_restart_of_the_cloud(ctx: Workspace, baked: str) -> None:
    before, candidate = ctx.images(), ctx.candidate()
    assert baked in {image["id"] for image in before}
    ctx.ok("local.down")
    assert ctx.host_leftovers() == []
    assert (ctx.images(), ctx.candidate()) == (before, candidate)
    subprocess.run(["kill", "-9", str(ctx.cloud()["pid"])], check=True)
    assert (ctx.images(), ctx.candidate()) == (before, candidate)


def test_changed_app_bakes_only_the_app_layer(tiny: Workspace, baked: str) -> None:
    plan = json.loads(tiny.ok("bake", "--plan", "--json"))
    assert (plan["base"]["action"], plan["app"]["action"]) == ("reuse", "build")
    result = json.loads(tiny.ok("bake", "--json"))
    assert result["layers"]["base"]["action"] == "reuse"
    assert result["ami"] != baked
    assert result["version"] == tiny.golden()[0]["version"]
    assert tiny.candidate() == result["ami"]


def test_failed_build_creates_no_image(tiny: Workspace) -> None:
    before, images = tiny.candidate(), tiny.images()
    tiny.edit("tests/e2e/tiny/main.go", "func main() {", "func main() { undeclared()")
    done = tiny.invoke("bake")
    assert done.returncode == 4
    assert "undeclared" in done.stderr
    assert "Next: less" in done.stderr
    assert done.stdout == ""
    assert (tiny.images(), tiny.candidate(), tiny.leftovers()) == (images, before, [])


def test_unhealthy_app_fails_gate_1(tiny: Workspace) -> None:
    before, images = tiny.candidate(), tiny.images()
    tiny.edit("tests/e2e/tiny/main.go", 'fmt.Fprintln(w, "ok")', 'http.Error(w, "no", 503); fmt.Print()')
    done = tiny.invoke("bake")
    assert done.returncode == 5
    assert "health" in done.stderr
    assert "503" in done.stderr
    assert (tiny.images(), tiny.candidate(), tiny.leftovers()) == (images, before, [])
    report = (runs(tiny)[-1] / "report.md").read_text()
    assert "- [ ] **FAILED**: Health check passed" in report


def test_app_that_is_healthy_only_during_the_bake_fails_gate_2(tiny: Workspace) -> None:
    before = tiny.candidate()
    tiny.edit("golden.toml", "health_check_grace_period = 300", "health_check_grace_period = 30")
    # Healthy during the bake but not in the finished image, because a file is created after gate 1.
    tiny.edit(
        "tests/e2e/tiny/main.go",
        "func main() {",
        'func main() {\n\tif _, err := os.Stat("/opt/guestbook/late"); err == nil {\n\t\tlog.Fatal("too late")\n\t}',
    )
    late = tiny.root / "provisioners/app/86-late.sh"
    late.write_text("#!/usr/bin/env bash\nset -euo pipefail\ntouch /opt/guestbook/late\n")
    done = tiny.invoke("bake")
    assert done.returncode == 5, done.stderr[-3000:]
    assert "boot-health-outside" in done.stderr
    failed = tiny.images()[0]
    assert failed["status"] == "failed"
    assert (tiny.candidate(), tiny.leftovers()) == (before, [])
    assert (runs(tiny)[-1] / "console.log").read_text()


def test_invalid_recipe_is_refused_before_the_bake_starts(tiny: Workspace) -> None:
    tiny.edit("golden.toml", "port = 8080", 'port = "8080"')
    tiny.edit("golden.toml", 'family = "debian-12"', 'family = "debian"')
    done = tiny.invoke("bake")
    assert done.returncode == 2
    assert "[app] port" in done.stderr
    assert "[image] family" in done.stderr
    assert runs(tiny) == []


def test_concurrent_bakes_reserve_different_versions(tiny: Workspace, tmp_path: Path) -> None:
    other = copy_checkout(tiny, tmp_path / "other")
    (other.root / "tests/e2e/tiny/who.txt").write_text("another")
    with tiny.running("bake") as first, other.running("bake") as second:
        assert (first.process.wait(600), second.process.wait(600)) == (0, 0), (
            first.log.read_text()[-2000:] + second.log.read_text()[-2000:]
        )
    names = [image["name"] for image in tiny.golden()]
    assert len(names) == len(set(names))
    assert tiny.leftovers() == []
