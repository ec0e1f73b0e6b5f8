"""Background work that runs periodically until the cloud ends, such as reconcilers."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable

SECONDS = 0.25


class PeriodicTask:
    """A thread that calls `work` every `seconds`. A failed call is logged and repeated."""

    def __init__(self, name: str, work: Callable[[], None], seconds: float | None = None) -> None:
        self._work, self._seconds, self._name = work, seconds or SECONDS, name
        self._ended = threading.Event()
        self._last_error = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10) -> None:
        """Stop after the current call."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._work()
                self._last_error = ""
            except Exception:  # one unexpected state must not end the reconciler
                error = traceback.format_exc()
                if error != self._last_error:  # the same error would be logged in every call
                    print(f"{self._name}: {error}", file=sys.stderr, flush=True)
                self._last_error = error
