"""Packer: its version, what it says, and that it always gets to clean up after itself."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from goldenami.errors import BuildError, ToolError
from goldenami.tools import packer
from goldenami.tools.packer import PackerEvent
from tests.support.fake_packer import FakePacker, eventually

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePacker:
    found = FakePacker(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{found.folder}{os.pathsep}{os.environ['PATH']}")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "base"
    made.mkdir()
    return made


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("Packer v1.6.6", (1, 6, 6)),
        ("Packer v1.11.2-dev\n\nYour version of Packer is out of date!", (1, 11, 2)),
        ("1,,version,1\n1,,ui,say,Packer v1.14.0", (1, 14, 0)),
    ],
)
def test_version(fake: FakePacker, told: str, version: tuple[int, int, int]) -> None:
    fake.configure(version=told)
    assert packer.version() == version
    assert fake.calls("version")[0]["env"]["CHECKPOINT_DISABLE"] == "1"


def test_another_program_called_packer_is_told(fake: FakePacker) -> None:
    fake.configure(version="cracklib-packer: skipping line 1")  # Red Hat's cracklib has a /usr/sbin/packer
    with pytest.raises(ToolError, match="the version of packer is unknown; it printed: cracklib-packer"):
        packer.version()


@pytest.mark.parametrize(("version", "words"), [((1, 6, 6), []), ((1, 7, 0), ["init"]), ((1, 14, 0), ["init"])])
def test_plugins_are_installed_first_where_packer_knows_them(
    fake: FakePacker, folder: Path, version: tuple[int, int, int], words: list[str]
) -> None:
    packer.validate(folder, version, {"AWS_REGION": "ap-northeast-2"})
    assert [call["words"][0] for word in ("init", "validate") for call in fake.calls(word)] == [*words, "validate"]
    assert fake.calls("validate")[0]["cwd"] == str(folder)
    assert fake.calls("validate")[0]["env"]["AWS_REGION"] == "ap-northeast-2"


def test_a_folder_that_packer_refuses_launches_nothing(fake: FakePacker, folder: Path) -> None:
    fake.configure(refusal="Error: Unsupported argument\n\n  on golden.pkr.hcl line 3")
    with pytest.raises(BuildError, match=r"Unsupported argument on golden\.pkr\.hcl line 3") as error:
        packer.validate(folder, (1, 6, 6), {})
    assert error.value.state == "Nothing was launched."


@pytest.mark.parametrize(
    ("version", "way"),
    [
        ((1, 9, 5), "let this machine reach api.github.com and github.com"),
        (
            (1, 13, 1),
            "let this machine reach api.github.com and github.com, or install the plugin's binary: "
            "packer plugins install --path FILE github.com/hashicorp/amazon",
        ),
        (
            (1, 14, 3),
            "let this machine reach releases.hashicorp.com, or install the plugin's binary: "
            "packer plugins install --path FILE github.com/hashicorp/amazon",
        ),
    ],
)
def test_without_a_network_the_way_to_the_plugin_is_told(
    fake: FakePacker, folder: Path, version: tuple[int, int, int], way: str
) -> None:
    # What 1.14.3 says: that it asked releases.hashicorp.com first is in its log only.
    refusal = (
        'Failed getting the "github.com/hashicorp/amazon" plugin:\n1 error occurred:\n'
        '\t* Get "https://api.github.com/repos/hashicorp/packer-plugin-amazon/git/matching-refs/tags": dial tcp: lookup'
        " api.github.com on 192.0.2.53:53: no such host\n\n"
    )
    fake.configure(refusal=refusal)
    with pytest.raises(
        BuildError, match=r"could not install the plugin that .*plugins\.pkr\.hcl pins: Failed"
    ) as error:
        packer.init(folder, version, {})
    assert error.value.state == "Nothing was launched."
    assert error.value.next == way
    assert not fake.calls("validate")


escaped = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \n"), max_size=40)


@given(escaped, st.sampled_from(["say", "message", "error"]))
def test_what_packer_says_is_read_back(text: str, kind: str) -> None:
    # As packer's machine-readable UI writes it: commas, carriage returns and newlines are escaped.
    written = text.replace(",", "%!(PACKER_COMMA)").replace("\r", "\\r").replace("\n", "\\n")
    if "\\" not in text and "PACKER_COMMA" not in text:
        assert packer.parse_event(f"1700000000,,ui,{kind},{written}") == PackerEvent(kind, text)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("1700000000,amazon-ebs.golden,error,it broke%!(PACKER_COMMA) badly", PackerEvent("error", "it broke, badly")),
        ("1700000000,,ui,say,==> a\\n==> b", PackerEvent("say", "==> a\n==> b")),
        ("1700000000,amazon-ebs.golden,artifact,0,id,ap-northeast-2:ami-1", None),
        ("1700000000,,version,1.6.6", None),
        ("panic: runtime error", None),
        ("2026/03/14 09:26:53 a,b,c,d", None),
        ("", None),
    ],
)
def test_events(line: str, event: PackerEvent | None) -> None:
    assert packer.parse_event(line) == event


def test_a_build_tells_what_happened_and_keeps_its_log(fake: FakePacker, folder: Path) -> None:
    lines = [
        "1,,ui,say,==> amazon-ebs.golden: Launching",
        "1,,ui,message,    amazon-ebs.golden: CHECK health FAIL HTTP 503",
        "1,,ui,error,Script exited: 1",
        "not an event",
    ]
    fake.configure(lines=lines, code=1)
    seen: list[PackerEvent] = []
    given_ = {"AWS_ACCESS_KEY_ID": "test"}
    outcome = packer.build(folder, seen.append, env=given_, variables={"groups": ["sg-1"], "region": "a b"})
    assert outcome == packer.BuildOutcome(
        1,
        ("Script exited: 1",),
        ("==> amazon-ebs.golden: Launching", "    amazon-ebs.golden: CHECK health FAIL HTTP 503", "Script exited: 1"),
    )
    assert [event.kind for event in seen] == ["say", "message", "error"]
    assert (folder / "packer.log").read_text().splitlines() == lines
    (call,) = fake.calls()
    assert call["words"] == ["build", "-machine-readable", '-var=groups=["sg-1"]', "-var=region=a b", "."]
    assert call["cwd"] == str(folder)
    assert call["env"]["PACKER_CACHE_DIR"] == str(folder / "packer_cache")
    assert call["env"]["AWS_ACCESS_KEY_ID"] == "test"


PREFIX = "==> amazon-ebs.golden: "


def test_since_packer_1_13_what_the_guest_writes_is_told_apart(fake: FakePacker, folder: Path) -> None:
    """It says the guest's lines and its own in one form; the screen has only its own, and the guest's headlines."""
    build = [  # whether it is no headline of Packer's, and what 1.14.3 with the plugin 1.8.2 says
        (False, "Prevalidating any provided VPC information"),
        (False, "Found Image ID: ami-1"),
        (True, 'Adding tag: "Go": "1.19"'),
        (False, "Connected to SSH!"),
        (False, "Provisioning with shell script: scripts/20-update.sh"),
        (True, "==> Updating the system"),
        (True, "Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]"),
        (False, "Uploading recipe.env => /var/tmp/golden/recipe.env"),
        (False, "recipe.env 1.2 KiB / 1.2 KiB"),
        (False, "Provisioning with shell script: scripts/80-validate-base.sh"),
        (True, "CHECK go-version ok Go 1.19.8 (declared 1.19)"),
        (False, "Stopping the source instance..."),
        (False, "Waiting for the instance to stop..."),
    ]
    lines = [f"1,,ui,say,{PREFIX}{text}" for _, text in build]
    fake.configure(lines=["1,,ui,say,amazon-ebs.golden: output will be in this color.", *lines])
    seen: list[PackerEvent] = []
    outcome = packer.build(folder, seen.append, env={})
    assert [(event.kind, event.text.removeprefix(PREFIX)) for event in seen[1:]] == [
        ("message" if detail else "say", text) for detail, text in build
    ]
    assert f"{PREFIX}CHECK go-version ok Go 1.19.8 (declared 1.19)" in outcome.output


def test_an_older_packer_tells_them_apart_itself(fake: FakePacker, folder: Path) -> None:
    fake.configure(
        lines=[
            "1,,ui,message,    amazon-ebs.golden: Found Image ID: ami-1",
            f"1,,ui,say,{PREFIX}Provisioning with shell script: scripts/20-update.sh",
            "1,,ui,message,    amazon-ebs.golden: Get:1 http://deb.debian.org/debian",
            f"1,,ui,say,{PREFIX}Deleting temporary security group...",
            f"1,,ui,error,{PREFIX}W: a warning",
        ]
    )
    seen: list[PackerEvent] = []
    packer.build(folder, seen.append, env={})
    assert [event.kind for event in seen] == ["message", "say", "message", "say", "error"]


@pytest.mark.parametrize(
    ("manifest", "ami"),
    [
        (None, None),
        ({"builds": []}, None),
        ({"builds": [{"artifact_id": "ap-northeast-2:ami-1"}]}, "ami-1"),
        ({"builds": [{"artifact_id": "r:ami-old"}, {"artifact_id": "r:ami-new"}]}, "ami-new"),
    ],
)
def test_the_manifest_tells_the_ami(folder: Path, manifest: object, ami: str | None) -> None:
    if manifest is not None:
        (folder / "packer-manifest.json").write_text(json.dumps(manifest))
    assert packer.artifact(folder) == ami


def start_ours(fake: FakePacker, folder: Path, lock: Path) -> subprocess.Popen[str]:
    """A process of ours that holds the lock and lets the (hanging) packer build."""
    fake.configure(hang=True, lines=["1,,ui,say,==> amazon-ebs.golden: Launching a source AWS instance..."])
    ours = textwrap.dedent(
        f"""
        from pathlib import Path
        from goldenami.state import runs
        from goldenami.tools import packer
        from goldenami.tools import process as shell
        try:
            with shell.terminate_as_interrupt(), runs.lock(Path({str(lock)!r})) as lock:
                packer.build(Path({str(folder)!r}), lambda event: print(event.text, flush=True), env={{}}, keep_open=[lock])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", ours], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    eventually(lambda: fake.reached("hanging"))
    return process


def is_locked(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def end(process: subprocess.Popen[str], fake: FakePacker) -> None:
    """Leave no process behind, whatever the test found."""
    if (fake.folder / "hold").exists():
        fake.release()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):  # only workers of this very fake, by their program's path
        try:
            if str(fake.folder / "worker").encode() in entry.read_bytes():
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_packer_to_clean_up(
    fake: FakePacker, folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    fake.hold()
    process = start_ours(fake, folder, tmp_path / "lock")
    try:
        process.send_signal(number)
        eventually(lambda: fake.reached("cleaning"))
        assert process.poll() is None
        fake.release()
        said, _ = process.communicate(timeout=10)
        assert fake.reached("cleaned")
        assert said.splitlines()[-2:] == ["Cleanly cancelled builds after being interrupted.", "interrupted"]
        assert "Cleanly cancelled" in (folder / "packer.log").read_text()
    finally:
        end(process, fake)


def test_packer_cleans_up_even_when_we_are_killed_and_keeps_the_next_run_waiting_meanwhile(
    fake: FakePacker, folder: Path, tmp_path: Path
) -> None:
    fake.hold()
    lock = tmp_path / "lock"
    process = start_ours(fake, folder, lock)
    try:
        process.kill()
        process.wait()
        eventually(lambda: fake.reached("cleaning"), seconds=2)
        assert is_locked(lock)
        fake.release()
        eventually(lambda: fake.reached("cleaned"))
        eventually(lambda: not is_locked(lock))
    finally:
        end(process, fake)


def test_credentials_of_others_in_the_environment_do_not_reach_packer(
    fake: FakePacker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldenami.aws.session import AwsSession

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the other key")
    aws = AwsSession("ap-northeast-2", keys=("test", "secret"))
    packer.build(folder, lambda event: None, env=aws.environment())
    seen = fake.calls()[0]["env"]
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_SECRET_ACCESS_KEY"]) == ("test", "secret")
    assert not seen.get("AWS_SESSION_TOKEN")  # keys with a token that is not theirs are refused
