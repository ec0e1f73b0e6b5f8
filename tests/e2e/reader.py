"""A reader that measures the longest time without an answer and checks that answers never lack an acknowledged row."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Reader:
    """Use it as a context; asks for the newest entry until the block exits.

    Attributes:
        longest: The longest time (seconds) between two answers with status 200.
        failures: What came instead of an answer, once for each request.
        backwards: Pairs of ids: an answer without the row that an earlier answer had.
    """

    address: str
    pause: float = 0.02
    longest: float = 0.0
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    backwards: list[tuple[int, int]] = field(default_factory=list)

    def __enter__(self) -> Reader:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(30)

    def _work(self) -> None:
        last, newest = time.monotonic(), 0
        while not self._end.is_set():
            found = self._newest()
            now = time.monotonic()
            if isinstance(found, str):
                self.failures.append(found)
            else:
                self.longest, last = max(self.longest, now - last), now
                self.answers += 1
                if found < newest:
                    self.backwards.append((newest, found))
                newest = max(newest, found)
            time.sleep(self.pause)
        self.longest = max(self.longest, time.monotonic() - last)

    def _newest(self) -> int | str:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", "/api/entries?limit=1")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                return f"HTTP {answer.status}"
            entries = json.loads(body)["entries"]
            return int(entries[0]["id"]) if entries else 0
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def check(self, longest: float) -> None:
        """Check that no answer lacked a row of an earlier one, and that there were answers at least this often (seconds)."""
        assert not self.backwards, f"answers lacked rows that were there before, such as {self.backwards[:3]}"
        assert self.longest <= longest, f"no answer for {self.longest:.1f} s: {self.failures[:5]}"
