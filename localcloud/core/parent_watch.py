"""A cloud that is to end with another process: tests' clouds must not outlive their tests, however those end."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Mapping

VARIABLE = "GOLDENAMI_UNTIL"


def watch_parent(environment: Mapping[str, str], end: Callable[[], None]) -> None:
    """Call `end` once the process whose id is in the variable has ended; at once when it has already."""
    wanted = environment.get(VARIABLE, "")
    if not wanted.isdigit():
        return
    try:
        process = os.pidfd_open(int(wanted))
    except ProcessLookupError:
        end()
        return

    def wait() -> None:
        waiting = select.poll()
        waiting.register(process, select.POLLIN)  # readable when the process has ended
        waiting.poll()
        end()

    threading.Thread(target=wait, name="lifetime", daemon=True).start()
