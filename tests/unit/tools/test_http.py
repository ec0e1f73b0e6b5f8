"""Health probes over real loopback HTTP: only a 2xx status of this very path is healthy."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

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


@contextmanager
def drip() -> Iterator[str]:
    """A server that sends a byte of its body every 0.1 s."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            client, _ = server.accept()
            with closing(client), suppress(OSError):
                client.recv(65536)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                for _ in range(10):
                    client.sendall(b"x")
                    time.sleep(0.1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
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


@pytest.mark.parametrize(
    ("page", "difference"),
    [
        ((200, "all hymns"), ""),
        ((500, "\n ERROR: no column\x1b]52;c;eA==\x07 id\nmore"), "expected 200: ERROR: no column]52;c;eA== id"),
        ((404, ""), "expected 200: an empty body"),
        ((302, "moved"), "expected 200: moved"),
        ((200, "nothing\nhere"), "without 'hymns': nothing"),
    ],
)
def test_check_names_what_differs_and_the_first_line_of_the_body(page: tuple[int, str], difference: str) -> None:
    with Web([200], {"/api": page}) as web:
        url = f"http://127.0.0.1:{web.port}/api"
        result = http.check(url, status=200, contains="hymns", max_seconds=5)
    separator = " " if difference.startswith("without") else ", "
    assert result == http.Probe(
        not difference, f"HTTP {page[0]} from {url}{separator if difference else ''}{difference}"
    )
    assert web.paths == ["/api"]


def test_check_accepts_an_expected_error_status() -> None:
    with Web([200], {"/private": (401, "")}) as web:
        assert http.check(f"http://127.0.0.1:{web.port}/private", status=401, contains="", max_seconds=5).ok


def test_check_of_a_response_that_takes_too_long_fails() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert http.check(url, status=200, contains="", max_seconds=0.1).detail == f"no answer from {url}: timed out"
    # A body that arrives in pieces, each of them in time.
    with drip() as url:
        result = http.check(url, status=200, contains="", max_seconds=0.3)
    assert result == http.Probe(False, f"HTTP 200 from {url}, not complete after 0.3 s")
