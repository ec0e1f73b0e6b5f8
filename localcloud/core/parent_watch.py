"""End the cloud with another process, so that a test's cloud never outlives the test."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Mapping

VARIABLE = "GOLDENAMI_UNTIL"


def watch_parent(environment: Mapping[str, str], end: Callable[[], None]) -> None:
    """Call `end` once the process whose id is in GOLDENAMI_UNTIL has ended."""
    pid = environment.get(VARIABLE, "")
    if not pid.isdigit():
        return
    try:
        process = os.pidfd_open(int(pid))
    except ProcessLookupError:
        end()
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(process, select.POLLIN)  # readable when the process has ended
        poll.poll()
        end()

    threading.Thread(target=wait, name="parent watch", daemon=True).start()
