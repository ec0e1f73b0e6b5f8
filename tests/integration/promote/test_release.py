"""The release step of promotions with an external database: rehearsed, applied, failed, refused, and killed after any call.

Machines are in memory; they do what the data script does. What an image serves says which migrations it has: `m2` has two.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from goldenami.aws import images
from goldenami.bake import inventory
from goldenami.context import Context
from goldenami.database.release import ReleaseError
from goldenami.errors import GateError
from goldenami.images.model import ImageSelector
from goldenami.infra import describe
from goldenami.model.inventory import Package
from goldenami.promote import model as promote_model, preflight_report, promote, rollback
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.release import Release
from goldenami.tools.progress import Progress
from tests.e2e.cases import few
from tests.integration.database.test_volume import Hurried, Machine, Told, shared_fleet
from tests.integration.promote.test_promote import Killed, Yard, pytestmark as promotions
from tests.support.cloud_fleet import FleetCloud, TrafficGenerator, WebDriver, WebMachine
from tests.support.cloud_server import client

pytestmark = promotions

NAMES = ("001_create.sql", "002_author.sql", "003_unique.sql", "004_drop.sql")
DUPLICATES = (
    b'ERROR 003_unique.sql, line 2: ERROR:  could not create unique index "hymns_number"\n'
    b"DETAIL:  Key (number)=(7) is duplicated.\nHINT:  None.\nSTATE The database is as before 003_unique.sql\n  psql says more\n"
)


def rows(serves: str) -> list[dict[str, Any]]:
    """The migrations of an image, as in its inventory."""
    count = int((re.search(r"m(\d)", serves) or ["", "0"])[1])
    return [
        {"name": name, "checksum": hashlib.sha256(name.encode()).hexdigest(), "compatible": name.startswith("002")}
        for name in NAMES[:count]
    ]


class Server(WebMachine):
    """A machine of an image with a release step."""

    driver: Servers

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        found = re.search(rb"^action=([\w-]+)$", stdin, re.MULTILINE)
        if not found:
            return 0, b"0\n", b""
        action = found[1].decode()
        self.driver.asked.append(f"{action} {self.serves}")
        migrations = {row["name"]: row["checksum"] for row in rows(self.serves)}
        live = self.driver.live
        pending = [name for name in migrations if name not in live]
        result: dict[str, Any] = {"server_running": False, "rows": 0, "storage_mode": "rds"}
        if action == "release-plan":
            if "ancient" in self.serves:
                return 1, b"", b"ERROR the image of this instance has no release step: bake it again\n"
            applied = [{"name": name, "checksum": sum_, "applied_at": ""} for name, sum_ in live.items()]
            result = {"applied": applied, "pending": pending, "missing": [], "changed": []}
        elif action == "survey":
            result = {"bytes": self.driver.size}
        elif action == "backup":
            self.back_up(stdin.decode())
        elif action in ("release-rehearse", "release-apply"):
            if ("rehearsal fails" if action == "release-rehearse" else "apply fails") in self.serves:
                return 1, b"", DUPLICATES
            if action == "release-apply":
                live |= migrations
            locks = ["AccessExclusiveLock public.hymns"]
            result = {"applied": [{"name": name, "seconds": 0.2, "locks": locks} for name in pending]}
        elif action != "inspect":
            return 1, b"", f"ERROR {action} is not for an external database".encode()
        return 0, f"RESULT {json.dumps(result)}\n".encode(), b""

    def back_up(self, script: str) -> None:
        place = Machine.place(script)
        s3 = client(self.driver.endpoint, "s3")

        def put(name: str, body: str) -> str:
            s3.put_object(Bucket=place["bucket"], Key=f"{place['prefix']}/{name}", Body=body.encode())
            return hashlib.sha256(body.encode()).hexdigest()

        metadata = {"service": "guestbook", "database": "guestbook", "owner": "guestbook", "major": 15, "mode": "rds"}
        metadata |= {"commit": "", "size": 4, "writes_stopped": False}
        metadata |= {"sha256": {"dump": put("dump", "rows"), "roles": put("roles.sql", "")}}
        fingerprint = {
            "tables": {"public.hymns": [963, "0"]},
            "sequences": {},
            "extensions": {},
            "roles": [],
            "large_objects": 0,
        }
        put("metadata.json", json.dumps({**metadata, "fingerprint": fingerprint}))


class Servers(WebDriver):
    """Machines that share the live database."""

    endpoint: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, str] = {}
        self.asked: list[str] = []
        self.size = 1

    def machine(self, spec: Any) -> Server:
        self.machines.append(Server(spec, self))
        return self.machines[-1]  # type: ignore[return-value]


class Port(FleetCloud):
    driver_type = Servers

    def start(self) -> None:
        super().start()
        Servers.endpoint = self.server.endpoint


class Dock(Yard):
    """A fleet with an external database and a release step."""

    def recipe(self, traffic: tuple[int, ...] = ()) -> Recipe:
        recipe = super().recipe(traffic)
        fleet = recipe.fleet.model_copy(update={"run_command": True})
        return recipe.model_copy(update={"release": Release(migrations="migrations"), "fleet": fleet})

    def ctx(self, traffic: tuple[int, ...] = ()) -> Context:
        ctx, clock = super().ctx(traffic), Hurried()
        return replace(ctx, clock=clock, progress=Progress(clock, io.StringIO()))

    def image(self, serves: str) -> str:
        ami = super().image(serves)
        ctx = self.ctx()
        image = images.get(ctx.aws, ami)
        assert image is not None
        report = {"migrations": rows(serves)} if "ancient" not in serves else {"os": "Debian"}
        inventory.save(ctx, image, report, [Package("bash", "5.2")])
        return ami

    @property
    def driver(self) -> Servers:
        driver: Servers = self.town.driver
        return driver

    def set_live(self, count: int) -> None:
        self.driver.live.clear()
        self.driver.live |= {row["name"]: row["checksum"] for row in rows(f"m{count}")}
        self.driver.asked.clear()

    def no_release_instance(self) -> None:
        assert describe.release_instances(self.ctx()) == []

    def rollback(self, ami: str, **options: Any) -> promote_model.PromoteResult:
        ctx, chosen = self.ctx(), promote_model.RollbackOptions(ami=ami, **options)
        return rollback.rollback(ctx, rollback.preflight(ctx, chosen), chosen)


@pytest.fixture(scope="module")
def dock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dock]:
    with shared_fleet(tmp_path_factory.mktemp("dock"), Port, Dock) as fleet:
        yield fleet


def test_promote_rehearses_on_a_copy_and_then_applies_before_the_refresh(dock: Dock) -> None:
    dock.set_live(1)
    image = dock.image("m3 good")
    with TrafficGenerator(dock.town.address) as visitors:
        result = dock.promote(image)
    assert visitors.failures == []
    actions = [asked.split()[0] for asked in dock.driver.asked if not asked.startswith("inspect")]
    assert actions[-5:] == ["release-plan", "survey", "backup", "release-rehearse", "release-apply"]
    assert list(dock.driver.live) == list(NAMES[:3])
    events = {event.kind: event for event in result.timeline.events}
    step = "002_author.sql (0.2 s, AccessExclusiveLock public.hymns)"
    assert events["rehearsed"].text.startswith(f"rehearsed on a copy of 963 row(s): {step}")
    assert events["migrated"].text.startswith(f"applied to the live database: {step}")
    assert [events[kind].at for kind in ("rehearsed", "migrated", "started")] == sorted(
        events[kind].at for kind in ("rehearsed", "migrated", "started")
    )
    dock.at_rest(image)
    dock.no_release_instance()


def test_promote_with_nothing_pending_launches_no_release_instance(dock: Dock) -> None:
    dock.set_live(3)
    image = dock.image("m3 same")
    result = dock.promote(image)
    assert result.timeline.first("released") is None
    dock.at_rest(image)


def test_failing_rehearsal_touches_neither_the_database_nor_the_fleet(dock: Dock) -> None:
    dock.set_live(2)
    before, image = dock.running(), dock.image("m3 rehearsal fails")
    with pytest.raises(ReleaseError) as caught:
        dock.promote(image)
    first, detail, *_ = caught.value.message.splitlines()
    assert first == '003_unique.sql, line 2: ERROR:  could not create unique index "hymns_number"'
    assert detail == "DETAIL:  Key (number)=(7) is duplicated."
    assert "The live database and the fleet are unchanged." in str(caught.value.state)
    assert not any(asked.startswith("release-apply") for asked in dock.driver.asked)
    found = images.get(dock.ctx().aws, image)
    assert found is not None
    assert "goldenami:rolled-back" not in found.tags
    dock.at_rest(before)
    dock.no_release_instance()


def test_failing_migration_of_the_live_database_turns_the_image_back(dock: Dock) -> None:
    dock.set_live(2)
    before, image = dock.running(), dock.image("m3 apply fails")
    with TrafficGenerator(dock.town.address) as visitors, pytest.raises(ReleaseError) as caught:
        dock.promote(image)
    assert visitors.failures == []
    assert caught.value.message.startswith("003_unique.sql, line 2: ERROR:  could not create unique index")
    assert caught.value.state == (
        "The database is as before 003_unique.sql. The old instances keep serving; the production parameter is unchanged."
    )
    found = images.get(dock.ctx().aws, image)
    assert found is not None
    assert "003_unique.sql, line 2" in found.tags["goldenami:rolled-back"]
    dock.at_rest(before)
    dock.no_release_instance()


def test_unhealthy_image_is_refused_before_the_database_is_touched(dock: Dock) -> None:
    dock.set_live(2)
    before, image = dock.running(), dock.image("m3 mute")
    with pytest.raises(GateError, match="failed the health gate: i-"):
        dock.promote(image)
    assert len(dock.driver.live) == 2
    dock.at_rest(before)
    dock.no_release_instance()


def test_database_above_the_size_limit_requires_no_rehearsal(dock: Dock) -> None:
    dock.set_live(2)
    before, image = dock.running(), dock.image("m3 large")
    dock.driver.size = 11 * 1024**3
    try:
        with pytest.raises(GateError, match=r"the database has 11.0 GiB, and \[release\] rehearsal_max_size is 10 GiB"):
            dock.promote(image)
        dock.at_rest(before)
        assert len(dock.driver.live) == 2
        dock.promote(image, rehearse=False)
    finally:
        dock.driver.size = 1
    assert not any(asked.startswith(("backup", "release-rehearse")) for asked in dock.driver.asked)
    dock.at_rest(image)
    assert len(dock.driver.live) == 3


def test_preflight_names_what_comes_and_what_will_be_done(dock: Dock) -> None:
    dock.set_live(3)
    ctx = dock.ctx()
    preflight = promote.preflight(ctx, promote_model.PromoteOptions(ImageSelector(dock.image("m4 next"))))
    page = preflight_report.promotion(ctx, preflight)
    assert "rehearse 004_drop.sql there, on a backup of today's data" in page.text
    assert "apply 004_drop.sql to the live database" in page.text
    assert re.search(r"migration 004_drop\.sql +- ", page.text)
    assert page.facts["migrations"]["pending"] == ("004_drop.sql",)


def test_rollback_over_an_incompatible_migration_is_refused_before_it_begins(dock: Dock) -> None:
    dock.set_live(3)
    older, newer = dock.image("m2 older"), dock.image("m3 newer")
    dock.promote(newer)
    with pytest.raises(GateError, match=r"lacks migration 003_unique\.sql, applied to the database by a newer image"):
        dock.rollback(older)
    dock.at_rest(newer)
    dock.rollback(older, schema_newer=True)
    dock.at_rest(older)
    assert len(dock.driver.live) == 3, "a rollback never reverts the schema"


def test_rollback_to_an_image_with_pending_migrations_is_rehearsed_unless_refused(dock: Dock) -> None:
    dock.set_live(2)
    dock.rollback(dock.image("m3 forward"))
    assert "release-rehearse m3 forward" in dock.driver.asked
    dock.set_live(2)
    image = dock.image("m3 unrehearsed")
    dock.rollback(image, rehearse=False)
    assert "release-rehearse m3 unrehearsed" not in dock.driver.asked
    dock.at_rest(image)
    assert len(dock.driver.live) == 3


def test_rollback_over_a_compatible_migration_needs_no_word(dock: Dock) -> None:
    dock.set_live(2)
    older, newer = dock.image("m1 older"), dock.image("m2 newer")
    dock.promote(newer)
    dock.rollback(older)
    dock.at_rest(older)


def test_image_without_a_release_step_is_refused_over_applied_migrations(dock: Dock) -> None:
    dock.set_live(3)
    newer, ancient = dock.image("m3 newer"), dock.image("ancient")
    dock.promote(newer)
    with pytest.raises(GateError, match=r"lacks migrations 001_create\.sql, 003_unique\.sql"):
        dock.promote(ancient)


CALLS = ("CreateLaunchTemplateVersion", "RunInstances", "SendCommand release-plan", "SendCommand backup",
         "SendCommand release-rehearse", "SendCommand release-apply", "TerminateInstances", "StartInstanceRefresh")  # fmt: skip


@pytest.mark.parametrize("name", few(CALLS, "SendCommand release-apply"))
def test_promote_killed_after_any_call_resumes(dock: Dock, name: str) -> None:
    dock.set_live(2)
    image, ctx = dock.image("m3 good"), dock.ctx()
    wire = Told(ctx.aws)
    wire.end_after(name, 1)
    with TrafficGenerator(dock.town.address) as visitors:
        with pytest.raises(Killed):
            dock.promote(image, ctx)
        assert wire.calls[-1] == name
        dock.promote(image)
    assert visitors.failures == []
    dock.at_rest(image)
    assert len(dock.driver.live) == 3
    dock.no_release_instance()
