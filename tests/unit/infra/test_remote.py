"""Scripts run through Run Command, or by SSH if that is not available."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.infra import remote
from goldenami.model.fleet import FleetInstance
from goldenami.tools.clock import SystemClock
from goldenami.tools.progress import Progress
from tests.support.aws_stubs import scripted
from tests.support.recipes import recipe

MACHINE = FleetInstance("i-1", "ami-1", "running", "203.0.113.9")
SENT = {
    "InstanceIds": ["i-1"],
    "DocumentName": "AWS-RunShellScript",
    "Parameters": {"commands": ["id"], "executionTimeout": ["60"]},
    "TimeoutSeconds": 60,
    "Comment": "goldenami",
}


def ctx(aws: AwsSession, key_name: str) -> Context:
    found = recipe({"fleet.key_name": key_name})
    return Context(Path(), found, found.target("aws"), aws, SystemClock(), Progress(SystemClock()))


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that notes how it was called and what came in, says something, and ends as an error."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/argv\ncat > {tmp_path}/stdin\necho done\nexit 3\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_ssh_is_used_without_run_command(ssh: Path) -> None:
    with scripted() as wire:
        wire.refuse("ssm", "send_command", SENT, "InvalidInstanceId")
        said = remote.run_on_instance(ctx(wire.aws, "your-key"), MACHINE, "id", key="my.pem")
    assert (said.code, said.stdout) == (3, "done\n")
    assert (ssh / "stdin").read_text() == "id"
    argv = (ssh / "argv").read_text().splitlines()
    assert argv[-4:] == ["-i", "my.pem", "admin@203.0.113.9", "sudo -n bash -s"]
    assert "BatchMode=yes" in argv, "it never asks"


def test_run_command_is_preferred(ssh: Path) -> None:
    told = {"Status": "Success", "ResponseCode": 0, "StandardOutputContent": "uid=0"}
    with scripted() as wire:
        wire.answer("ssm", "send_command", SENT, {"Command": {"CommandId": "c" * 36}})
        asked = {"CommandId": "c" * 36, "InstanceId": "i-1"}
        wire.answer("ssm", "get_command_invocation", asked, told)
        assert remote.run_on_instance(ctx(wire.aws, "your-key"), MACHINE, "id").stdout == "uid=0"
    assert not (ssh / "argv").exists()


def test_unreachable_instance_error_names_both_ways() -> None:
    with scripted() as wire:
        wire.refuse("ssm", "send_command", SENT, "InvalidInstanceId")
        with pytest.raises(AwsError, match="no SSH key") as caught:
            remote.run_on_instance(ctx(wire.aws, ""), MACHINE, "id")
    assert "run_command = true (or key_name)" in caught.value.next
