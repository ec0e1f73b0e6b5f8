"""Background work that compares what should be with what is, again and again, until the cloud ends."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable

SECONDS = 0.25


class PeriodicTask:
    """One thread that calls `work` every `seconds`. A failed round is logged and the next one tries again."""

    def __init__(self, name: str, work: Callable[[], None], seconds: float | None = None) -> None:
        self._work, self._seconds, self._name = work, seconds or SECONDS, name
        self._ended = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10) -> None:
        """End after the round that is going on."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._work()
                self._said = ""
            except Exception:  # a reconciler must outlive whatever state it meets
                text = traceback.format_exc()
                if text != self._said:  # the same failure comes back every round
                    print(f"{self._name}: {text}", file=sys.stderr, flush=True)
                self._said = text
