"""Loopback addresses: one /24 for each local cloud, one address for each machine."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from localcloud.errors import CloudError

PORT = 4566
CANDIDATES = 64


def candidate_prefixes(state: Path, preferred: str | None) -> Iterator[str]:
    """Prefixes `127.A.B`, the preferred one first, then a sequence that the state's path decides."""
    if preferred:
        yield preferred
    for attempt in range(CANDIDATES):
        digest = hashlib.sha256(f"{state}:{attempt}".encode()).digest()
        yield f"127.{1 + digest[0] % 254}.{digest[1]}"  # never 127.0.x: the host's own services live there


def bind_range(state: Path, range_file: Path) -> tuple[str, socket.socket]:
    """Take a range by listening on its .1; returns the prefix and the bound, listening socket.

    Only one process can be bound there, so the bind is the claim and it ends with the process.
    """
    preferred = range_file.read_text().strip() if range_file.exists() else None
    last: OSError | None = None
    for prefix in candidate_prefixes(state, preferred):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((f"{prefix}.1", PORT))
        except OSError as error:
            listener.close()
            last = error
            continue
        listener.listen(128)
        range_file.write_text(prefix + "\n")
        return prefix, listener
    raise CloudError(f"No free loopback range: port {PORT} cannot be bound on any of {CANDIDATES} addresses ({last})")


class AddressPool:
    """The machines' addresses .2-.254 of a claimed range, given out in turn so that one is not reused at once."""

    def __init__(self, prefix: str, used: Callable[[], Iterable[str | None]]) -> None:
        self.prefix = prefix
        self._used = used
        self._last = 1

    def allocate(self) -> str:
        """An address that no instance holds. Raises CloudError when all 253 are taken."""
        used = set(self._used())
        for step in range(253):
            host = 2 + (self._last - 1 + step) % 253
            if (address := f"{self.prefix}.{host}") not in used:
                self._last = host
                return address
        raise CloudError(f"All 253 addresses of {self.prefix}.0/24 are in use")

    def contains(self, address: str | None) -> bool:
        return bool(address) and str(address).rpartition(".")[0] == self.prefix
