"""The schedule of the rebuild on this machine: install, inspect and remove systemd's units."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from goldenami.context import Context
from goldenami.errors import ToolError, UsageError
from goldenami.rebuild.schedule_model import FAILED, SERVICE, TIMER, UNITS, ScheduleLocation, ScheduleStatus, Units
from goldenami.state import runs
from goldenami.tools import host, jinja, process
from goldenami.tools.jinja import ROOT

SYSTEM = Path("/etc/systemd/system")


def location(*, user: bool, run_as: str = "", root: Path | None = None) -> ScheduleLocation:
    """Return the location of the units: the system's folder, or the caller's own.

    Args:
        user: Use the caller's own service manager, which needs no root and runs while the caller is logged in (or lingers).
        run_as: User of the system's service; the owner of the checkout if empty.
        root: The checkout.
    """
    if user:
        if run_as:
            raise UsageError("--user and --run-as exclude each other", next="./invoke schedule.install --user")
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return ScheduleLocation(home / "systemd/user", "")
    return ScheduleLocation(SYSTEM, run_as or (root or Path.cwd()).owner())


def files(ctx: Context, where: ScheduleLocation) -> dict[Path, str]:
    """Return the desired text of every file, by path."""
    units = _units(ctx, where)
    root, recipe = _plain(ctx.root), _plain(ctx.recipe.path.resolve())
    texts = {Path(units.unit(file)): unit_file(file) for file in UNITS}
    common = {"root": root, "user": where.user, "kind": "service"}
    options = "--failure --unless-notified=${MONITOR_INVOCATION_ID}"
    result = "${MONITOR_SERVICE_RESULT}, ${MONITOR_EXIT_CODE} ${MONITOR_EXIT_STATUS}"
    text = f"the rebuild on %H failed ({result}); its log: journalctl -u goldenami-rebuild@%i"
    commands = {
        SERVICE: f"{root}/invoke rebuild --if-needed --recipe={recipe}",
        FAILED: f'{root}/invoke notify {options} "--text={text}" --recipe={recipe}',
    }
    for file, command in commands.items():
        texts[Path(units.drop_in(file))] = jinja.render_template("schedule.conf.j2", {**common, "command": command})
    timer = {"kind": "timer", "on_calendar": ctx.recipe.schedule.on_calendar}
    texts[Path(units.drop_in(TIMER))] = jinja.render_template("schedule.conf.j2", {**common, **timer})
    return texts


def install(ctx: Context, where: ScheduleLocation) -> ScheduleStatus:
    """Write the units that differ, and start the timer. Idempotent.

    Raises:
        UsageError: The system's folder needs root.
        ToolError: systemd is not available, or rejects the units.
    """
    _check_writable(where, "install")
    _systemctl(where, "show", "--property=Version")  # fail before anything is written if systemd is not available
    for path, text in files(ctx, where).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            runs.write_text(path, text)
            path.chmod(0o644)
            ctx.progress.detail(f"wrote {path}")
    _systemctl(where, "daemon-reload")
    _systemctl(where, "enable", "--now", _units(ctx, where).timer)
    return status(ctx, where)


def status(ctx: Context, where: ScheduleLocation) -> ScheduleStatus:
    """Return the state of the schedule; nothing is changed."""
    units = _units(ctx, where)
    desired = files(ctx, where)
    missing = [str(path) for path in desired if not path.exists()]
    stale = [str(path) for path, text in desired.items() if path.exists() and path.read_text(encoding="utf-8") != text]
    timer = _properties(where, units.timer, "ActiveState", "NextElapseUSecRealtime", "LastTriggerUSec")
    service = _properties(where, units.service, "Result", "ExecMainStatus", "ExecMainExitTimestamp")
    ended = service.get("ExecMainExitTimestamp", "")
    return ScheduleStatus(
        units=units,
        stale=tuple(stale),
        missing=tuple(missing),
        active=timer.get("ActiveState") == "active",
        next=timer.get("NextElapseUSecRealtime", ""),
        last=timer.get("LastTriggerUSec", "").replace("n/a", ""),
        result=f"{service.get('Result', '')} (exit code {service.get('ExecMainStatus', '')}), {ended}" if ended else "",
    )


def remove(ctx: Context, where: ScheduleLocation) -> tuple[str, ...]:
    """Stop the timer and delete the units. Unit files are kept while another image of this machine uses them.

    Returns:
        The deleted files.
    """
    _check_writable(where, "remove")
    units = _units(ctx, where)
    if Path(units.unit(TIMER)).exists():
        _systemctl(where, "disable", "--now", units.timer)
    drop_ins = [Path(units.drop_in(file)) for file in UNITS]
    others = set(where.folder.glob("goldenami-rebuild*@*.d")) - {path.parent for path in drop_ins}
    unused = [*drop_ins, *([] if others else [Path(units.unit(file)) for file in UNITS])]
    deleted = [path for path in unused if path.exists()]
    for path in deleted:
        path.unlink()
    for path in drop_ins:
        if path.parent.exists() and not any(path.parent.iterdir()):
            path.parent.rmdir()
    _systemctl(where, "daemon-reload")
    return tuple(str(path) for path in deleted)


def _plain(path: Path) -> str:
    """Return a path that needs no quoting anywhere in a unit."""
    if not re.fullmatch(r"[A-Za-z0-9._/@+-]+", str(path)):
        next_step = "move the checkout to a path of plain letters"
        raise UsageError(f"{path} has characters that need quoting in systemd units", next=next_step)
    return str(path)


def _units(ctx: Context, where: ScheduleLocation) -> Units:
    return Units(ctx.name, PurePosixPath(where.folder))


def _check_writable(where: ScheduleLocation, task: str) -> None:
    if where.user and not host.is_root():
        raise UsageError(
            f"{where.folder} belongs to root",
            state="Nothing was changed.",
            next=f"sudo ./invoke schedule.{task}, or ./invoke schedule.{task} --user",
        )


def _systemctl(where: ScheduleLocation, *words: str) -> None:
    argv = [*where.systemctl, *words]
    result = process.run(argv, timeout=60)
    if result.code:
        raise ToolError(f"{' '.join(argv)} failed: {result.last_line}", next="./invoke schedule.status")


def _properties(where: ScheduleLocation, unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit; empty if systemd is not available."""
    if process.which("systemctl") is None:
        return {}
    result = process.run([*where.systemctl, "show", unit, *[f"--property={name}" for name in names]], timeout=30)
    return dict(line.partition("=")[::2] for line in result.stdout.splitlines()) if result.code == 0 else {}


def unit_file(name: str, root: Path = ROOT) -> str:
    """Return the text of a unit file in systemd/."""
    return (root / "systemd" / name).read_text(encoding="utf-8")
