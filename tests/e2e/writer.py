"""Continuous writers of numbered guestbook entries that record which were acknowledged."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Writer:
    """Use it as a context. Each number is sent once; it is acknowledged when the service answers 201.

    Attributes:
        acknowledged: The numbers that the service said it keeps.
        unsure: Numbers whose answer never came: they may be there, once.
        longest: The longest time (seconds) between two acknowledgements.
    """

    address: str
    pause: float = 0.02
    acknowledged: list[int] = field(default_factory=list)
    unsure: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    longest: float = 0.0

    def __enter__(self) -> Writer:
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._numbers = itertools.count(time.time_ns() // 1000)
        self._last = time.monotonic()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self) -> None:
        while not self._end.is_set():
            number = next(self._numbers)
            status = self._sign(number)
            with self._lock:
                if status == 201:
                    now = time.monotonic()
                    self.longest, self._last = max(self.longest, now - self._last), now
                    self.acknowledged.append(number)
                elif status is None or status in (
                    502,
                    504,
                ):  # the load balancer's status: the request may have been executed
                    self.unsure.append(number)
                else:
                    self.refused.append(number)
            time.sleep(self.pause)

    def _sign(self, number: int) -> int | None:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            body = json.dumps({"name": "writer", "message": str(number)})
            connection.request("POST", "/api/entries", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def check(self, address: str = "") -> None:
        """Check that every acknowledged number exists exactly once and no other number exists."""
        found = Counter(entries(address or self.address))
        missing = [n for n in self.acknowledged if found[n] == 0]
        assert not missing, f"{len(missing)} acknowledged row(s) are lost, such as {missing[:5]}"
        twice = [n for n, count in found.items() if count > 1]
        assert not twice, f"{len(twice)} row(s) are there twice, such as {twice[:5]}"


def entries(address: str) -> list[int]:
    """Return the numbers in the guestbook."""
    found: list[int] = []
    before = ""
    while True:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", f"/api/entries?limit=1000{before}")
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        page = json.loads(answer.read())["entries"]
        connection.close()
        found += [int(entry["message"]) for entry in page]
        if len(page) < 1000:
            return found
        before = f"&before={page[-1]['id']}"
