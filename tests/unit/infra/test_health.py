"""An instance is healthy after consecutive successes, and has to stay so while it is watched."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from goldenami.aws import instances
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.infra import health
from goldenami.model.resources import Instance
from goldenami.tools import http
from goldenami.tools.progress import Progress
from tests.support.clock import ScriptedClock
from tests.support.recipes import recipe


class Lock:
    def heartbeat(self) -> None: ...


def wait(patch: pytest.MonkeyPatch, answers: str, *, grace: float, watch: float = 0) -> float:
    """Wait for an instance that answers like this, one letter a probe: y or n, the last one from then on."""
    clock, found = ScriptedClock(), recipe()
    aws = AwsSession("ap-northeast-2", keys=("test", "test"))
    ctx = Context(Path(), found, found.target("local"), aws, clock, Progress(clock, io.StringIO()))
    left = list(answers)

    def probe(url: str, timeout: float) -> http.Probe:
        assert url == "http://203.0.113.9:8080/health"
        return http.Probe((left.pop(0) if len(left) > 1 else left[0]) == "y", "HTTP 503")

    running: Any = Instance(id="i-1", image="ami-1", state="running", address="203.0.113.9")
    patch.setattr(http, "probe", probe)
    patch.setattr(instances, "wait_running", lambda *_: running)
    lock: Any = Lock()
    return health.wait_until_instance_healthy(ctx, lock, "i-1", grace=grace, watch=watch)


def test_wait_needs_consecutive_successes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(monkeypatch, "yyy", grace=60) < wait(monkeypatch, "yynyyy", grace=60)


def test_wait_ends_after_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateError, match=r"i-1 is not healthy after 60 s \(HTTP 503\)"):
        wait(monkeypatch, "yyn", grace=60)


def test_wait_fails_if_a_watched_instance_stops_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateError, match="i-1 failed a probe"):
        wait(monkeypatch, "yyyyyyn", grace=60, watch=30)


def test_wait_watches_beyond_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(monkeypatch, "ny", grace=5, watch=300) < 5
