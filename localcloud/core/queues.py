"""Work queues for long work (disk copies, boots): one per machine, in order, outside of the request threads."""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

Work = Callable[[], None]


def run_later(seconds: float, work: Callable[..., None], *arguments: Any) -> None:
    """Call `work` in a thread of its own after `seconds`."""
    timer = threading.Timer(seconds, work, arguments)
    timer.daemon = True
    timer.start()


class WorkQueues:
    """A queue and a thread for each key; the thread does the work in order. The thread lives until its queue is closed: the
    kernel's parent-death signal, which ends machines with a killed server, is tied to the *thread* that started them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, tuple[queue.SimpleQueue[Work | None], threading.Thread]] = {}
        self._pending: dict[str, int] = {}

    def submit(self, key: str, work: Callable[..., None], *arguments: Any) -> None:
        """Append work to the key's queue."""
        with self._lock:
            if key not in self._queues:
                jobs: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
                thread = threading.Thread(target=self._run, args=(key, jobs), name=f"queue {key}", daemon=True)
                self._queues[key] = (jobs, thread)
                thread.start()
            self._pending[key] = self._pending.get(key, 0) + 1
            self._queues[key][0].put(partial(work, *arguments))

    def is_busy(self, key: str) -> bool:
        with self._lock:
            return self._pending.get(key, 0) > 0

    def close(self, key: str) -> None:
        """End a queue after its pending work."""
        with self._lock:
            entry = self._queues.pop(key, None)
            self._pending.pop(key, None)
        if entry:
            entry[0].put(None)

    def finish(self, timeout: float) -> None:
        """End all queues after their pending work, and wait up to `timeout` seconds for each."""
        with self._lock:
            entries = list(self._queues.values())
            self._queues.clear()
        for jobs, _ in entries:
            jobs.put(None)
        for _, thread in entries:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def _run(self, key: str, jobs: queue.SimpleQueue[Work | None]) -> None:
        while work := jobs.get():
            try:
                work()
            except Exception:  # a failed job must not end the queue; jobs handle their expected errors
                print(f"{key}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            finally:
                with self._lock:
                    if key in self._pending:
                        self._pending[key] -= 1
