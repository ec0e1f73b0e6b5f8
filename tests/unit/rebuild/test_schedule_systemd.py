"""The schedule on a machine: units that systemd accepts, put in place once, told of, and taken away without a trace."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from goldenami.context import Context
from goldenami.errors import ToolError, UsageError
from goldenami.rebuild import schedule_report, schedule_systemd
from goldenami.rebuild.schedule_model import ScheduleLocation
from goldenami.tools import host
from tests.support.contexts import Checkout
from tests.support.recipes import recipe

FAKE = """#!/bin/sh
echo "$*" >>"{log}"
case $* in
  *show*timer*) echo ActiveState=active; echo "NextElapseUSecRealtime=Tue 2026-12-01 03:12:00 UTC"; echo LastTriggerUSec=n/a ;;
  *show*service*) echo Result=exit-code; echo ExecMainStatus=5; echo "ExecMainExitTimestamp=Sun 2026-11-01 03:40:00 UTC" ;;
esac
exit {code}
"""


@pytest.fixture
def there(at: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Context, ScheduleLocation, Path]:
    """A shop, a place for units, and the log of a systemctl that says yes."""
    log = tmp_path / "systemctl.log"
    systemctl(tmp_path, 0)
    monkeypatch.setattr(host, "is_root", lambda: True)
    return (
        at.ctx({"schedule.timezone": "Asia/Seoul", "schedule.hour": 4}),
        ScheduleLocation(tmp_path / "units", "daemon"),
        log,
    )


def systemctl(folder: Path, code: int) -> None:
    program = folder / "bin/systemctl"
    program.write_text(FAKE.format(log=folder / "systemctl.log", code=code))
    program.chmod(0o755)


def every(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_installed_once_told_and_removed_without_a_trace(there: tuple[Context, ScheduleLocation, Path]) -> None:
    ctx, where, log = there
    found = schedule_systemd.install(ctx, where)
    assert sorted(every(where.folder)) == [
        "goldenami-rebuild-failed@.service",
        "goldenami-rebuild-failed@guestbook.service.d/checkout.conf",
        "goldenami-rebuild@.service",
        "goldenami-rebuild@.timer",
        "goldenami-rebuild@guestbook.service.d/checkout.conf",
        "goldenami-rebuild@guestbook.timer.d/checkout.conf",
    ]
    asked = [line for line in log.read_text().splitlines() if not line.startswith("show")]
    assert asked == ["daemon-reload", "enable --now goldenami-rebuild@guestbook.timer"]
    assert found.active
    assert (found.stale, found.missing) == ((), ())
    told = schedule_report.status(found).text
    assert "2026-12-01 03:12:00" in told
    assert "exit-code (exit code 5)" in told
    before = {p: p.stat().st_mtime_ns for p in where.folder.rglob("*")}
    schedule_systemd.install(ctx, where)
    assert {p: p.stat().st_mtime_ns for p in where.folder.rglob("*")} == before
    assert len(schedule_systemd.remove(ctx, where)) == 6
    assert every(where.folder) == {}
    assert "disable --now goldenami-rebuild@guestbook.timer" in log.read_text()
    assert schedule_systemd.remove(ctx, where) == ()


def test_the_units_stay_for_another_image_of_the_machine(
    there: tuple[Context, ScheduleLocation, Path], at: Checkout
) -> None:
    ctx, where, _ = there
    other = at.ctx({"image.name": "wiki"})
    schedule_systemd.install(ctx, where)
    schedule_systemd.install(other, where)
    schedule_systemd.remove(ctx, where)
    assert (where.folder / "goldenami-rebuild@.service").exists()
    assert schedule_systemd.status(other, where).missing == ()


def test_a_changed_recipe_shows_until_it_is_installed(
    there: tuple[Context, ScheduleLocation, Path], at: Checkout
) -> None:
    ctx, where, _ = there
    schedule_systemd.install(ctx, where)
    later = at.ctx({"schedule.day": 15})
    (stale,) = schedule_systemd.status(later, where).stale
    assert stale.endswith("goldenami-rebuild@guestbook.timer.d/checkout.conf")
    assert "is outdated" in schedule_report.status(schedule_systemd.status(later, where)).text
    assert schedule_systemd.install(later, where).stale == ()


def test_what_systemd_refuses_is_said(there: tuple[Context, ScheduleLocation, Path], tmp_path: Path) -> None:
    ctx, where, _ = there
    systemctl(tmp_path, 1)
    with pytest.raises(ToolError, match="systemctl show"):
        schedule_systemd.install(ctx, where)
    assert not where.folder.exists()


def test_the_system_s_folder_needs_root(at: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "is_root", lambda: False)
    with pytest.raises(UsageError, match="belongs to root"):
        schedule_systemd.install(at.ctx(), ScheduleLocation(tmp_path / "units", "daemon"))
    assert not (tmp_path / "units").exists()


def test_the_user_s_own_manager(at: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    where = schedule_systemd.location(user=True)
    assert where.folder == tmp_path / "config/systemd/user"
    drop_in = schedule_systemd.files(at.ctx(), where)[
        where.folder / "goldenami-rebuild@guestbook.service.d/checkout.conf"
    ]
    assert "User=" not in drop_in
    assert "CapabilityBoundingSet=~" in drop_in
    with pytest.raises(UsageError):
        schedule_systemd.location(user=True, run_as="daemon")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("user", ["daemon", ""])
def test_systemd_accepts_the_units_and_finds_the_service_well_confined(at: Checkout, tmp_path: Path, user: str) -> None:
    analyze = shutil.which("systemd-analyze", path="/usr/bin:/bin")
    assert analyze
    (at.root / "invoke").write_text("#!/bin/sh\n")
    (at.root / "invoke").chmod(0o755)
    folder = tmp_path / "units"
    for path, text in schedule_systemd.files(
        at.ctx({"schedule.timezone": "Asia/Seoul"}), ScheduleLocation(folder, user)
    ).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only with its drop-in does the template name programs that are here.
        path.write_text(text.replace("/opt/goldenami", str(at.root)))
    units = [str(folder / f"goldenami-rebuild@guestbook.{kind}") for kind in ("service", "timer")]
    units.append(str(folder / "goldenami-rebuild-failed@guestbook.service"))
    for unit in units:
        shutil.copy(folder / f"{Path(unit).name.partition('@')[0]}@{Path(unit).suffix}", unit)
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "goldenami" in line or str(folder) in line] == []
    assert done.returncode == 0, done.stderr
    if user:
        argv = [analyze, "security", "--offline=true", "--threshold=30", units[0]]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_calendar_is_the_recipe_s() -> None:
    when = recipe({"schedule.day": 5, "schedule.hour": 4, "schedule.timezone": "Asia/Seoul"}).schedule
    assert when.on_calendar == "*-*-05 04:00:00 Asia/Seoul"
    assert when.cron == "cron(0 4 5 * ? *)"
    if analyze := shutil.which("systemd-analyze"):
        done = subprocess.run([analyze, "calendar", when.on_calendar], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
