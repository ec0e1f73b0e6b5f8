"""The monthly rebuild on this machine: put systemd's units in place, look at them, take them away."""

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
    """The system's folder, or with `user` the caller's own.

    Args:
        user: The caller's own service manager, which needs no root and runs while the caller is logged in (or lingers).
        run_as: The account that the system's service runs as; the owner of the checkout when empty.
        root: The checkout.
    """
    if user:
        if run_as:
            raise UsageError("--user and --run-as exclude each other", next="./invoke schedule.install --user")
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return ScheduleLocation(home / "systemd/user", "")
    return ScheduleLocation(SYSTEM, run_as or (root or Path.cwd()).owner())


def files(ctx: Context, where: ScheduleLocation) -> dict[Path, str]:
    """Every file as it should be, by where it goes."""
    units = _units(ctx, where)
    root, recipe = _simple(ctx.root), _simple(ctx.recipe.path.resolve())
    found = {Path(units.unit(file)): unit_file(file) for file in UNITS}
    common = {"root": root, "user": where.user, "kind": "service"}
    told = "--failure --unless-notified=${MONITOR_INVOCATION_ID}"
    what = "${MONITOR_SERVICE_RESULT}, ${MONITOR_EXIT_CODE} ${MONITOR_EXIT_STATUS}"
    text = f"the rebuild on %H failed ({what}); journalctl -u goldenami-rebuild@%i there says more"
    commands = {
        SERVICE: f"{root}/invoke rebuild --if-needed --recipe={recipe}",
        FAILED: f'{root}/invoke notify {told} "--text={text}" --recipe={recipe}',
    }
    for file, command in commands.items():
        found[Path(units.drop_in(file))] = jinja.render_template("schedule.conf.j2", {**common, "command": command})
    when = {"kind": "timer", "on_calendar": ctx.recipe.schedule.on_calendar}
    found[Path(units.drop_in(TIMER))] = jinja.render_template("schedule.conf.j2", {**common, **when})
    return found


def install(ctx: Context, where: ScheduleLocation) -> ScheduleStatus:
    """Put the units in place and start the timer; repeated, it writes only what is different.

    Raises:
        UsageError: The system's folder needs root.
        ToolError: systemd does not take them, or is not here.
    """
    _may_write(where, "install")
    _systemctl(where, "show", "--property=Version")  # before anything is written: whether systemd answers at all
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
    """What there is; nothing is changed."""
    units = _units(ctx, where)
    wanted = files(ctx, where)
    missing = [str(path) for path in wanted if not path.exists()]
    stale = [str(path) for path, text in wanted.items() if path.exists() and path.read_text(encoding="utf-8") != text]
    timer = _properties(where, units.timer, "ActiveState", "NextElapseUSecRealtime", "LastTriggerUSec")
    service = _properties(where, units.service, "Result", "ExecMainStatus", "ExecMainExitTimestamp")
    ran = service.get("ExecMainExitTimestamp", "")
    return ScheduleStatus(
        units=units,
        stale=tuple(stale),
        missing=tuple(missing),
        active=timer.get("ActiveState") == "active",
        next=timer.get("NextElapseUSecRealtime", ""),
        last=timer.get("LastTriggerUSec", "").replace("n/a", ""),
        result=f"{service.get('Result', '')} (exit code {service.get('ExecMainStatus', '')}), {ran}" if ran else "",
    )


def remove(ctx: Context, where: ScheduleLocation) -> tuple[str, ...]:
    """Stop the timer and take the units away; unit files stay as long as another image of this machine has them.

    Returns:
        What was removed.
    """
    _may_write(where, "remove")
    units = _units(ctx, where)
    if Path(units.unit(TIMER)).exists():
        _systemctl(where, "disable", "--now", units.timer)
    drop_ins = [Path(units.drop_in(file)) for file in UNITS]
    others = set(where.folder.glob("goldenami-rebuild*@*.d")) - {path.parent for path in drop_ins}
    gone = [path for path in [*drop_ins, *([] if others else [Path(units.unit(f)) for f in UNITS])] if path.exists()]
    for path in gone:
        path.unlink()
    for path in drop_ins:
        if path.parent.exists() and not any(path.parent.iterdir()):
            path.parent.rmdir()
    _systemctl(where, "daemon-reload")
    return tuple(str(path) for path in gone)


def _simple(path: Path) -> str:
    """A path that means the same to systemd everywhere in a unit."""
    if not re.fullmatch(r"[A-Za-z0-9._/@+-]+", str(path)):
        raise UsageError(f"systemd would read {path} otherwise", next="move the checkout to a path of plain letters")
    return str(path)


def _units(ctx: Context, where: ScheduleLocation) -> Units:
    return Units(ctx.name, PurePosixPath(where.folder))


def _may_write(where: ScheduleLocation, task: str) -> None:
    if where.user and not host.is_root():
        raise UsageError(
            f"{where.folder} belongs to root",
            state="Nothing was changed.",
            next=f"sudo ./invoke schedule.{task}, or ./invoke schedule.{task} --user",
        )


def _systemctl(where: ScheduleLocation, *words: str) -> None:
    argv = [*where.systemctl, *words]
    done = process.run(argv, timeout=60)
    if done.code:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(
            f"{' '.join(argv)}: {said[-1] if said else f'exited with {done.code}'}", next="./invoke schedule.status"
        )


def _properties(where: ScheduleLocation, unit: str, *names: str) -> dict[str, str]:
    """What systemd says of a unit; nothing where it does not answer."""
    if process.which("systemctl") is None:
        return {}
    done = process.run([*where.systemctl, "show", unit, *[f"--property={name}" for name in names]], timeout=30)
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines()) if done.code == 0 else {}


def unit_file(name: str, root: Path = ROOT) -> str:
    """One of the units in systemd/, which are used as they are."""
    return (root / "systemd" / name).read_text(encoding="utf-8")
