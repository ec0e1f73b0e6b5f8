"""Packer's command line: version, `init`, `validate`, and `build` with live events."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldenami.errors import BuildError, ToolError
from goldenami.tools import process

# No update checks, and no colours in the output that is parsed.
_QUIET = {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}
# Packer's own lines before and after the output of a script.
_OWN_LINES = re.compile(
    r"==> \S+: (Provisioning with shell script|Uploading|Downloading|Pausing|Provisioning step had errors"
    r"|Stopping the source instance|Terminating the source|Cancelling)"
)
# A `message` before Packer 1.13: one line for each tag of each resource.
_DETAIL = re.compile(r"==> \S+: Adding tag: ")


@dataclass(frozen=True)
class PackerEvent:
    """Line of `packer build -machine-readable`: its kind (`say`, `message`, `error`, …) and text."""

    kind: str
    text: str


@dataclass(frozen=True)
class BuildOutcome:
    """Result of a build: exit code, Packer's errors, and every line of output."""

    code: int
    errors: tuple[str, ...]
    output: tuple[str, ...]


def version() -> tuple[int, int, int]:
    """Return the version of the packer on PATH.

    Raises:
        ToolError: Packer is not installed, or its version cannot be parsed.
    """
    output = process.run(["packer", "version"], env=_QUIET).stdout
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", output)
    if not match:
        raise ToolError(f"the version of packer is unknown; it printed: {output.strip()[:200]}")
    return int(match[1]), int(match[2]), int(match[3])


def init(folder: Path, packer_version: tuple[int, int, int], env: Mapping[str, str]) -> None:
    """Install the plugins that a rendered folder pins, unless they are. Packer before 1.7 has them built in.

    Raises:
        BuildError: Packer failed; the message has the beginning of its output.
    """
    if packer_version < (1, 7, 0):
        return
    result = process.run(["packer", "init", "."], cwd=folder, env={**_QUIET, **env}, timeout=300)
    if result.code != 0:
        # Packer 1.14 and newer use releases.hashicorp.com first, but report only GitHub's answer.
        where = "releases.hashicorp.com" if packer_version >= (1, 14, 0) else "api.github.com and github.com"
        by_hand = ", or install the plugin's binary: packer plugins install --path FILE github.com/hashicorp/amazon"
        raise BuildError(
            f"Packer could not install the plugin that {folder / 'plugins.pkr.hcl'} pins: {_summary(result)}",
            state="Nothing was launched.",
            next=f"let this machine reach {where}{by_hand if packer_version >= (1, 10, 0) else ''}",
        )


def validate(folder: Path, packer_version: tuple[int, int, int], env: Mapping[str, str]) -> None:
    """Validate a rendered folder with Packer and the pinned plugins.

    A build does not need this: `packer build` validates before it calls AWS.

    Raises:
        BuildError: Packer rejects the folder; the message has the beginning of its output.
    """
    init(folder, packer_version, env)
    result = process.run(["packer", "validate", "."], cwd=folder, env={**_QUIET, **env}, timeout=300)
    if result.code != 0:
        raise BuildError(
            f"`packer validate .` rejects {folder}: {_summary(result)}",
            state="Nothing was launched.",
            next=f"cd {folder} && packer validate .",
        )


def _summary(result: process.ProcessResult) -> str:
    return " ".join((result.stdout + result.stderr).split())[:600]


def build(
    folder: Path,
    on_event: Callable[[PackerEvent], None],
    *,
    env: Mapping[str, str],
    variables: Mapping[str, object] | None = None,
    keep_open: Sequence[int] = (),
) -> BuildOutcome:
    """Run `packer build` in a rendered folder. Packer cleans up when it is interrupted.

    `variables` override the folder's; `keep_open` are file descriptors that Packer inherits, such as a held lock.
    """
    errors: list[str] = []
    output: list[str] = []
    parser = OutputParser()

    def line(text: str) -> None:
        event = parser.parse_line(text)
        if event is None:
            return
        if event.kind == "error":
            errors.append(event.text)
        output.extend(event.text.splitlines())
        on_event(event)

    values = {name: v if isinstance(v, str) else json.dumps(v) for name, v in (variables or {}).items()}
    arguments = [f"-var={name}={value}" for name, value in values.items()]
    code = process.stream(
        ["packer", "build", "-machine-readable", *arguments, "."],
        line,
        cwd=folder,
        env={**_QUIET, "PACKER_CACHE_DIR": os.fspath(folder / "packer_cache"), **env},
        keep_open=keep_open,
        output=folder / "packer.log",
        # Packer's wrapper process ignores SIGINT, which the terminal sends to both, and forwards SIGTERM.
        stop=signal.SIGTERM,
        grace=300,
    )
    return BuildOutcome(code, tuple(errors), tuple(output))


class OutputParser:
    """Parser of a build's output that separates the guest's lines from Packer's own.

    Until Packer 1.12 the guest's lines are a `message`. Since 1.13 all lines are a `say` with the same `==>`, so lines
    between the start of a script and Packer's next own line are the guest's.
    """

    def __init__(self) -> None:
        self._has_messages = False
        self._script = False

    def parse_line(self, line: str) -> PackerEvent | None:
        """Return the event of a line as `parse_event` does, but with the kind `message` for a line of the guest."""
        event = parse_event(line)
        if event is None or event.kind not in ("say", "message"):
            return event
        self._has_messages = self._has_messages or event.kind == "message"
        own = _OWN_LINES.match(event.text)
        if own:
            self._script = own[1] == "Provisioning with shell script"
        elif not self._has_messages and (self._script or _DETAIL.match(event.text)):
            return PackerEvent("message", event.text)
        return event


def read_log(folder: Path) -> tuple[str, ...]:
    """Return the lines of an earlier build in a folder; none if there was no build."""
    log = folder / "packer.log"
    if not log.exists():
        return ()
    events = (parse_event(line) for line in log.read_text(encoding="utf-8").splitlines())
    return tuple(line for event in events if event for line in event.text.splitlines())


def parse_event(line: str) -> PackerEvent | None:
    """Parse a line of machine-readable output (`timestamp,target,type,data…`); return None for any other line.

    Source: https://developer.hashicorp.com/packer/docs/commands#machine-readable-output
    """
    parts = line.split(",", 3)
    if len(parts) < 4 or not parts[0].isdigit():
        return None
    kind, data = parts[2], parts[3]
    if kind == "ui":
        kind, _, data = data.partition(",")
    elif kind != "error":
        return None
    text = data.replace("%!(PACKER_COMMA)", ",").replace("\\r", "").replace("\\n", "\n")
    return PackerEvent(kind, text)


def artifact(folder: Path) -> str | None:
    """Return the AMI id that Packer's manifest post-processor wrote, or None if it wrote none.

    Source: https://developer.hashicorp.com/packer/docs/post-processors/manifest (`artifact_id` is REGION:AMI).
    """
    path = folder / "packer-manifest.json"
    if not path.exists():
        return None
    builds = json.loads(path.read_text(encoding="utf-8")).get("builds", [])
    if not builds:
        return None
    return str(builds[-1]["artifact_id"]).rpartition(":")[2] or None
