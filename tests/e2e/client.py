"""HTTP client that requests the health path at a steady rate and counts failures."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Client:
    """Sends requests at a steady rate, each on its own connection, until the block exits.

    Attributes:
        address: Host and port of the balancer.
        rate: Requests a second; each is sent at its time, however long others take.
    """

    address: str
    rate: float = 25.0
    path: str = "/health"
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    def __enter__(self) -> Client:
        self._end = threading.Event()
        self._due: queue.Queue[float | None] = queue.Queue()
        self._lock = threading.Lock()
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(16)]
        self._clock = threading.Thread(target=self._pace, daemon=True)
        self.began = time.monotonic()
        for thread in (*self._workers, self._clock):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._clock.join()
        for _ in self._workers:
            self._due.put(None)
        for worker in self._workers:
            worker.join(15)
        self.ended = time.monotonic()

    @property
    def per_second(self) -> float:
        """Requests per second that were sent."""
        return self.sent / (self.ended - self.began)

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._end.is_set():
            self._due.put(due)
            due += 1 / self.rate
            time.sleep(max(0.0, due - time.monotonic()))

    def _work(self) -> None:
        while self._due.get() is not None:
            seen = self._ask()
            with self._lock:
                self.sent += 1
                if seen:
                    self.failures.append(f"{time.monotonic() - self.began:.1f} s: {seen}")

    def _ask(self) -> str:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", self.path)
            answer = connection.getresponse()
            answer.read()
            return "" if answer.status == 200 else f"HTTP {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
