"""Health probes over real loopback HTTP: only a 2xx status of this very path is healthy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from goldenami.tools import http
from tests.support.http_server import Web


@contextmanager
def raw(answer: bytes) -> Iterator[str]:
    """A server that says these bytes, whatever it is asked."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            client, _ = server.accept()
            with closing(client):
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/health"
        thread.join(5)


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (299, True), (301, False), (404, False), (500, False), (503, False)]
)
def test_only_2xx_is_healthy(status: int, ok: bool) -> None:
    with Web([status]) as web:
        seen = http.probe(web.url)
    assert seen == http.Probe(ok, f"HTTP {status} from {web.url}")


def test_a_redirect_is_not_followed() -> None:
    with Web([302, 200]) as web:
        assert http.probe(web.url).ok is False
    assert len(web.paths) == 1


def test_proxies_of_the_operator_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Web([200]) as web:
        assert http.probe(web.url).ok
    assert web.paths == ["/health"]


def test_nobody_listening_is_told() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/health"
    seen = http.probe(url)
    assert seen.ok is False
    assert seen.detail.startswith(f"no answer from {url}: ")
    assert "refused" in seen.detail


def test_a_server_that_never_answers_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        seen = http.probe(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=0.05)
    assert (seen.ok, seen.detail.rpartition(": ")[2]) == (False, "timed out")


def test_a_server_that_hangs_up_is_no_answer() -> None:
    with raw(b"") as url:
        assert http.probe(url).detail.startswith("no answer")


def test_what_is_not_http_is_no_answer() -> None:
    with raw(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
        assert http.probe(url).ok is False
