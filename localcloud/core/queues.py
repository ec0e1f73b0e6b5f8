"""Long work (disk copies, boots) off the request threads: one line a machine, in order."""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

Work = Callable[[], None]


class WorkQueues:
    """A thread for each key, which does that key's work first in, first out.

    A line's thread lives until it is closed: the kernel's parent-death signal, by which machines go with a
    killed server, is tied to the *thread* that started them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, tuple[queue.SimpleQueue[Work | None], threading.Thread]] = {}
        self._waiting: dict[str, int] = {}

    def submit(self, key: str, work: Callable[..., None], *arguments: Any) -> None:
        """Append work to the key's line."""
        with self._lock:
            if key not in self._lines:
                jobs: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
                thread = threading.Thread(target=self._run, args=(key, jobs), name=f"line {key}", daemon=True)
                self._lines[key] = (jobs, thread)
                thread.start()
            self._waiting[key] = self._waiting.get(key, 0) + 1
            self._lines[key][0].put(partial(work, *arguments))

    def is_busy(self, key: str) -> bool:
        with self._lock:
            return self._waiting.get(key, 0) > 0

    def close(self, key: str) -> None:
        """End a line after the work that it has."""
        with self._lock:
            line = self._lines.pop(key, None)
            self._waiting.pop(key, None)
        if line:
            line[0].put(None)

    def finish(self, timeout: float) -> None:
        """End all lines after their work, and wait for that."""
        with self._lock:
            lines = list(self._lines.values())
            self._lines.clear()
        for jobs, _ in lines:
            jobs.put(None)
        for _, thread in lines:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def _run(self, key: str, jobs: queue.SimpleQueue[Work | None]) -> None:
        while work := jobs.get():
            try:
                work()
            except Exception:  # a line outlives a failed job; each job reports its own expected errors
                print(f"{key}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            finally:
                with self._lock:
                    if key in self._waiting:
                        self._waiting[key] -= 1
