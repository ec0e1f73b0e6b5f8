"""Loopback addresses: a /24 range for each local cloud, an address for each machine."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from localcloud.errors import CloudError

PORT = 4566
CANDIDATES = 64


def candidate_prefixes(state: Path, preferred: str | None) -> Iterator[str]:
    """Yield prefixes `127.A.B`: the preferred one first, then a sequence derived from the state folder's path."""
    if preferred:
        yield preferred
    for attempt in range(CANDIDATES):
        digest = hashlib.sha256(f"{state}:{attempt}".encode()).digest()
        yield f"127.{1 + digest[0] % 254}.{digest[1]}"  # never 127.0.x, which the host's services use


def bind_range(state: Path, range_file: Path) -> tuple[str, socket.socket]:
    """Reserve a range by listening on its .1. Return the prefix and the listening socket. Only one process can listen there, so
    the reservation ends with the process."""
    preferred = range_file.read_text().strip() if range_file.exists() else None
    last_error: OSError | None = None
    for prefix in candidate_prefixes(state, preferred):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((f"{prefix}.1", PORT))
        except OSError as error:
            listener.close()
            last_error = error
            continue
        listener.listen(128)
        range_file.write_text(prefix + "\n")
        return prefix, listener
    raise CloudError(f"No free loopback range: cannot bind port {PORT} on any of {CANDIDATES} addresses ({last_error})")


class AddressPool:
    """The addresses .2-.254 of a reserved range, allocated in turn, so that a released address is not reused at once."""

    def __init__(self, prefix: str, used: Callable[[], Iterable[str | None]]) -> None:
        self.prefix = prefix
        self._used = used
        self._last = 1

    def allocate(self) -> str:
        """Return an address that is not in use. Raises CloudError if all 253 are."""
        used = set(self._used())
        for step in range(253):
            host = 2 + (self._last - 1 + step) % 253
            if (address := f"{self.prefix}.{host}") not in used:
                self._last = host
                return address
        raise CloudError(f"All 253 addresses of {self.prefix}.0/24 are in use")

    def contains(self, address: str | None) -> bool:
        """Return True if the address is in this range. After a restart the cloud may have another one."""
        return bool(address) and str(address).rpartition(".")[0] == self.prefix
