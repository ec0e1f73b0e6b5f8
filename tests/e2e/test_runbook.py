"""The runbook of docs/operations.md, executed on a fleet of the local cloud, and the monthly rebuild."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.service import Service

pytestmark = pytest.mark.fleet

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"


def sequence(name: str) -> str:
    """Return the commands under a marker of the page."""
    text = PAGE.read_text(encoding="utf-8").split(f"<!-- runbook: {name} -->")[1]
    found = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def follow(service: Service, name: str, **known: str) -> str:
    """Run the commands in bash with the ids of this fleet and return their output."""
    script = sequence(name)
    for variable, value in known.items():
        script, count = re.subn(rf"^{variable}=\S+", f"{variable}={value}", script, flags=re.MULTILINE)
        assert count == 1, variable
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=service.ctx.root,
        env=service.ctx.environment(),
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_every_sequence_of_the_page_is_tested() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_runbook*.py"))
    followed = set(re.findall(r'follow\(\w+, "(\w+)"', tests))
    assert set(re.findall(r"<!-- runbook: (\w+) -->", PAGE.read_text(encoding="utf-8"))) == followed


def test_instance_is_inspected_and_replaced(service: Service) -> None:
    service.resize(2)
    instance = service.status()["instances"][0]["id"]
    with Client(service.address) as client:
        output = follow(service, "instance", INSTANCE=instance)
        service.resize(2)
    assert instance in output
    assert instance not in [member["id"] for member in service.status()["instances"]]
    assert client.failures == []


def test_promotion_is_rolled_back_and_its_image_retired(service: Service) -> None:
    service.resize(1)
    bad = service.image("healthy")
    service.ctx.ok("promote", "--ami", bad)
    follow(service, "deployment", BAD=bad)
    assert service.production_ami() == service.good
    assert service.running_amis() == [service.good]
    assert service.ctx.invoke("promote", "--ami", bad).returncode == 5


def test_leftovers_of_a_bake_are_swept(service: Service) -> None:
    before = service.production_ami()
    follow(service, "build")
    assert service.production_ami() == before


def test_running_instance_reports_pending_updates(service: Service) -> None:
    """Check the package updates that `rebuild` reads."""
    service.resize(1)
    (machine,) = [member["id"] for member in service.status()["instances"]]
    planned = json.loads(service.ctx.ok("rebuild", "--if-needed", "--plan", "--json"))
    assert f"on {machine}, an instance of this image" in planned["package_updates"]
    assert [reason["kind"] for reason in planned["reasons"]] in ([], ["packages"])


def test_rebuild_promotes_only_if_the_recipe_enables_it(service: Service) -> None:
    service.resize(1)
    ctx, before = service.ctx, service.production_ami()
    (ctx.root / "tests/e2e/tiny/who.txt").write_text("rebuilt")
    plan = ctx.ok("rebuild", "--if-needed", "--plan")
    assert "do not promote it (auto_promote is off)" in plan
    ctx.edit("golden.toml", "[promote]", "[rebuild]\nauto_promote = true\n\n[promote]")
    with Client(service.address) as client:
        done = json.loads(ctx.ok("rebuild", "--if-needed", "--json"))
    service.made.append(done["ami"])
    assert (done["state"], done["promoted"], done["previous_ami"]) == ("finished", True, before)
    assert service.production_ami() == done["ami"]
    assert service.running_amis() == [done["ami"]]
    assert client.failures == []
    assert {"version", "application"} <= {change["what"] for change in done["changes"]}
    assert json.loads(ctx.ok("rebuild", "--if-needed", "--json"))["state"] == "unchanged"
