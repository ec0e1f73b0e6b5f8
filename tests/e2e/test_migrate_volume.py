"""Storage migrations from and to a data volume under a continuous writer, also killed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.rds import postgres
from tests.e2e import test_rows
from tests.e2e.relay import Relay
from tests.e2e.service import Service
from tests.e2e.test_migrate import CALLS, Databases, assert_idle, databases as databases
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.workspace import Workspace, copy_checkout, relayed_through
from tests.e2e.writer import Writer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.data,
    pytest.mark.long,
    pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason())),
]


@pytest.fixture(scope="module")
def moved(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Checkout with storage mode `volume` and an image for it."""
    ctx = copy_checkout(databases.here.ctx, tmp_path_factory.mktemp("volume") / "moved")
    ctx.edit("golden.toml", 'mode = "instance"', 'mode = "volume"')
    ctx.edit("golden.toml", "[[parameters]]", "[database.volume]\nsize_gib = 1\n\n[[parameters]]")
    service = Service(ctx, ctx.ok("bake").strip(), databases.here.address)
    yield service
    databases.there.made += [*service.made, service.good]
    databases.there.machines |= {f"with a volume: {kind}": machine for kind, machine in service.machines.items()}


def volumes(service: Service) -> list[Any]:
    """Return the volumes that have the service's data tag."""
    tagged = [{"Name": "tag:goldenami:data", "Values": ["guestbook"]}]
    found: list[Any] = service.client("ec2").describe_volumes(Filters=tagged)["Volumes"]
    return found


def on_volume(service: Service) -> str:
    """Check that the instance serves from the volume and return the volume's id."""
    test_rows.assert_idle(service, service.good, suspended=())
    (found,) = volumes(service)
    (member,) = service.status()["instances"]
    assert [(a["InstanceId"], a["State"]) for a in found["Attachments"]] == [(member["id"], "attached")]
    return str(found["VolumeId"])


def free(service: Service, volume: str) -> None:
    """Check that the volume is untagged and delete it."""
    assert volumes(service) == []
    service.client("ec2").delete_volume(VolumeId=volume)


@pytest.fixture
def on_instance(databases: Databases, moved: Service) -> Databases:
    """The data is on the instance, and no volume is tagged."""
    databases.back()
    test_rows.assert_idle(databases.here, databases.here.good)
    for left in volumes(moved):
        moved.client("ec2").delete_volume(VolumeId=left["VolumeId"])
    return databases


@pytest.fixture
def elsewhere(on_instance: Databases) -> Databases:
    """The data is on the RDS instance."""
    on_instance.there.ctx.ok(*on_instance.migrate, "--ami", on_instance.there.good)
    assert_idle(on_instance, on_instance.there.good)
    return on_instance


def test_migration_to_a_volume_and_back(on_instance: Databases, moved: Service) -> None:
    databases, ctx, unhealthy = on_instance, moved.ctx, moved.image("dies later")
    with Writer(moved.address) as writer:
        done = ctx.invoke("db.migrate", "--to", "volume", "--ami", unhealthy, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        test_rows.assert_idle(databases.here, databases.here.good)
        assert [v["State"] for v in volumes(moved)] == ["available"], "it stays, with nothing on it that counts"
        ctx.ok("db.migrate", "--to", "volume", "--ami", moved.good)
        volume = on_volume(moved)
        databases.here.ctx.ok("db.migrate", "--to", "instance", "--ami", databases.here.good)
    test_rows.assert_idle(databases.here, databases.here.good)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")
    free(moved, volume)


def test_migration_from_rds_to_a_volume_and_back(elsewhere: Databases, moved: Service) -> None:
    databases, ctx = elsewhere, moved.ctx
    unhealthy, bad = moved.image("dies later"), databases.there.image("dies later")
    with Writer(moved.address) as writer:
        done = ctx.invoke("db.migrate", "--to", "volume", "--ami", unhealthy, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
        assert_idle(databases, databases.there.good)
        ctx.ok("db.migrate", "--to", "volume", "--ami", moved.good)
        volume = on_volume(moved)
        done = databases.there.ctx.invoke(*databases.migrate, "--ami", bad, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
        assert on_volume(moved) == volume
        databases.there.ctx.ok(*databases.migrate, "--ami", databases.there.good)
    assert_idle(databases, databases.there.good)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")
    free(moved, volume)


WAYS: dict[str, Callable[[str, str], bool]] = {
    **{name: call for name, call in CALLS.items() if name != "host"},
    "volume": lambda name, _: name == "CreateVolume",
    "taken": lambda name, _: name == "AttachVolume",
}


@pytest.fixture
def relayed(moved: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose API calls go through the relay."""
    with relayed_through(moved.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.mark.parametrize("call", WAYS)
def test_killed_migration_to_a_volume_is_completed_by_the_same_command(
    on_instance: Databases, moved: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    databases, (other, relay) = on_instance, relayed
    migrate = ("db.migrate", "--to", "volume", "--ami", moved.good)
    with Writer(moved.address) as writer:
        run_and_kill(other, relay, WAYS[call], *migrate)
        other.ok(*migrate)
        volume = on_volume(moved)
        databases.here.ctx.ok("db.migrate", "--to", "instance", "--ami", databases.here.good)
    test_rows.assert_idle(databases.here, databases.here.good)
    writer.check()
    print(f"{call}: {len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")
    free(moved, volume)


FROM: dict[str, Callable[[str, str], bool]] = {
    **{name: CALLS[name] for name in ("fenced", "restored", "opened", "terminated")},
    "untagged": lambda name, body: name == "DeleteTags" and "goldenami:data" in body,
}


@pytest.mark.parametrize("call", FROM)
def test_killed_migration_between_rds_and_volume_is_completed_by_the_same_command(
    elsewhere: Databases, moved: Service, relayed: tuple[Workspace, Relay], tmp_path: Path, call: str
) -> None:
    databases, (other, relay) = elsewhere, relayed
    there = ("db.migrate", "--to", "volume", "--ami", moved.good)
    back = (*databases.migrate, "--ami", databases.there.good)
    with Writer(moved.address) as writer, relayed_through(databases.there.ctx, tmp_path / "there") as (elder, wire):
        if call == "untagged":  # no volume exists yet
            other.ok(*there)
        else:
            run_and_kill(other, relay, FROM[call], *there)
            other.ok(*there)
        volume = on_volume(moved)
        run_and_kill(elder, wire, FROM[call], *back)
        elder.ok(*back)
    assert_idle(databases, databases.there.good)
    writer.check()
    print(f"{call}: {len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")
    free(moved, volume)
