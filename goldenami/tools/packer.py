"""The only door to Packer: its version, `init`, `validate`, and `build` with live events."""

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

# No calls home, and no colours or prompts in what we parse.
_QUIET = {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}
# What Packer says of its own at a script's beginning, and after its end.
_OWN_LINES = re.compile(
    r"==> \S+: (Provisioning with shell script|Uploading|Downloading|Pausing|Provisioning step had errors"
    r"|Stopping the source instance|Terminating the source|Cancelling)"
)
# What was always a `message`, however little it says: one line for each tag of each thing.
_DETAIL = re.compile(r"==> \S+: Adding tag: ")


@dataclass(frozen=True)
class PackerEvent:
    """One line of `packer build -machine-readable`: its kind (`say`, `message`, `error`, …) and text."""

    kind: str
    text: str


@dataclass(frozen=True)
class BuildOutcome:
    """How a build ended: its exit code, what Packer called errors, and every line that the guest printed."""

    code: int
    errors: tuple[str, ...]
    output: tuple[str, ...]


def version() -> tuple[int, int, int]:
    """The version of the packer on PATH.

    Raises:
        ToolError: There is none, or it does not tell.
    """
    answer = process.run(["packer", "version"], env=_QUIET).stdout
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", answer)
    if not found:
        raise ToolError(f"packer did not tell its version; it printed: {answer.strip()[:200]}")
    return int(found[1]), int(found[2]), int(found[3])


def init(folder: Path, packer_version: tuple[int, int, int], env: Mapping[str, str]) -> None:
    """Let Packer install the plugins that a rendered folder pins; one that is older than 1.7 has them built in.

    What is installed already is left as it is, and asks for no network.

    Raises:
        BuildError: Packer cannot; the message holds its first words.
    """
    if packer_version < (1, 7, 0):
        return
    done = process.run(["packer", "init", "."], cwd=folder, env={**_QUIET, **env}, timeout=300)
    if done.code != 0:
        # 1.14 and newer ask releases.hashicorp.com first, but tell only of what GitHub answered.
        where = "releases.hashicorp.com" if packer_version >= (1, 14, 0) else "api.github.com and github.com"
        by_hand = ", or bring the plugin's binary here: packer plugins install --path FILE github.com/hashicorp/amazon"
        raise BuildError(
            f"Packer could not install the plugin that {folder / 'plugins.pkr.hcl'} pins: {_words(done)}",
            state="Nothing was launched.",
            next=f"let this machine reach {where}{by_hand if packer_version >= (1, 10, 0) else ''}",
        )


def validate(folder: Path, packer_version: tuple[int, int, int], env: Mapping[str, str]) -> None:
    """Let Packer check a rendered folder, with its pinned plugins.

    Before a build there is no need to: `packer build` checks the same before it asks AWS for anything.

    Raises:
        BuildError: Packer refuses the folder; the message holds its first words.
    """
    init(folder, packer_version, env)
    done = process.run(["packer", "validate", "."], cwd=folder, env={**_QUIET, **env}, timeout=300)
    if done.code != 0:
        raise BuildError(
            f"`packer validate .` refuses {folder}: {_words(done)}",
            state="Nothing was launched.",
            next=f"cd {folder} && packer validate .",
        )


def _words(done: process.ProcessResult) -> str:
    return " ".join((done.stdout + done.stderr).split())[:600]


def build(
    folder: Path,
    on_event: Callable[[PackerEvent], None],
    *,
    env: Mapping[str, str],
    variables: Mapping[str, object] | None = None,
    keep_open: Sequence[int] = (),
) -> BuildOutcome:
    """Run `packer build` in a rendered folder to its end; Packer cleans up after itself when it is interrupted.

    Args:
        folder: Holds golden.pkr.hcl and what it needs.
        on_event: Called with each event as it comes.
        env: Credentials and region (AWS_…).
        variables: Values that override the folder's, JSON where they are not strings.
        keep_open: File descriptors that Packer inherits: a lock that must live as long as it does.
    """
    errors: list[str] = []
    output: list[str] = []
    listener = OutputParser()

    def line(text: str) -> None:
        event = listener.parse_line(text)
        if event is None:
            return
        if event.kind == "error":
            errors.append(event.text)
        output.extend(event.text.splitlines())
        on_event(event)

    given = [
        f"-var={name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in (variables or {}).items()
    ]
    code = process.stream(
        ["packer", "build", "-machine-readable", *given, "."],
        line,
        cwd=folder,
        env={**_QUIET, "PACKER_CACHE_DIR": os.fspath(folder / "packer_cache"), **env},
        keep_open=keep_open,
        output=folder / "packer.log",
        # Packer runs itself inside a wrapper, which ignores SIGINT (it counts on the terminal to send that to
        # both) and hands SIGTERM on.
        stop=signal.SIGTERM,
        grace=300,
    )
    return BuildOutcome(code, tuple(errors), tuple(output))


class OutputParser:
    """Hears a build line by line, and tells what the guest wrote from what Packer says.

    Until 1.12 the guest's lines come as `message`. Since 1.13 there is only `say`, with the same `==>` for both, so what
    comes between the start of a script and the next of Packer's own words is the guest's. Details stay details, too.
    """

    def __init__(self) -> None:
        self._tells_apart = False
        self._script = False

    def parse_line(self, line: str) -> PackerEvent | None:
        """The event of a line, as `parse_event` has it, but a guest's line is always a `message`."""
        event = parse_event(line)
        if event is None or event.kind not in ("say", "message"):
            return event
        self._tells_apart = self._tells_apart or event.kind == "message"
        own = _OWN_LINES.match(event.text)
        if own:
            self._script = own[1] == "Provisioning with shell script"
        elif not self._tells_apart and (self._script or _DETAIL.match(event.text)):
            return PackerEvent("message", event.text)
        return event


def read_log(folder: Path) -> tuple[str, ...]:
    """What an earlier build in a folder said, line by line, however it ended; nothing when there was none."""
    log = folder / "packer.log"
    if not log.exists():
        return ()
    events = (parse_event(line) for line in log.read_text(encoding="utf-8").splitlines())
    return tuple(line for event in events if event for line in event.text.splitlines())


def parse_event(line: str) -> PackerEvent | None:
    """Read a line of machine-readable output (`timestamp,target,type,data…`), or None for another line.

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
    """The AMI id that Packer's manifest post-processor wrote, or None when it wrote none.

    Source: https://developer.hashicorp.com/packer/docs/post-processors/manifest (`artifact_id` is REGION:AMI).
    """
    path = folder / "packer-manifest.json"
    if not path.exists():
        return None
    builds = json.loads(path.read_text(encoding="utf-8")).get("builds", [])
    if not builds:
        return None
    return str(builds[-1]["artifact_id"]).rpartition(":")[2] or None
