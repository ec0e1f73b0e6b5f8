"""Keeps what the AWS API knows: all of moto's backends, in one snapshot file.

One dump holds every backend, so that references between them (a group's instances, say) stay references.
Live things (machines, sockets) are never in a backend. Bodies of S3 objects lie beside it, named by digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import tempfile
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import cloudpickle
import moto
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.s3.models import FakeKey, s3_backends
from moto.s3.utils import _VersionedKeyStore

from localcloud.state_dir import StateDir, write_atomically
from localcloud.storage import s3_bodies

FORMAT = 1
Backends = dict[tuple[str, str, str], Any]  # (service, account, region) -> backend


class Store:
    """The snapshot file of one state folder."""

    def __init__(self, folder: StateDir) -> None:
        self._folder = folder
        self._bodies: set[str] = set()  # digests that the last snapshot names
        self._digests: weakref.WeakKeyDictionary[Any, tuple[object, str]] = weakref.WeakKeyDictionary()

    def save(self) -> None:
        """Write everything atomically. The caller holds the lock under which backends change."""
        held = {
            "format": FORMAT,
            "moto": moto.__version__,
            "backends": dict(_backends()),
            "buckets": s3_backends.bucket_accounts,  # the names of buckets are global: kept outside of the backends
        }
        former, self._bodies = self._bodies, set()
        write_atomically(self._folder.snapshot_file, self._dump(held))
        for digest in former - self._bodies:  # deleted objects, and parts that have become one
            (self._folder.objects / digest).unlink(missing_ok=True)

    def load(self) -> bool:
        """Put the kept backends back; False where there is nothing (readable) to put back."""
        path = self._folder.snapshot_file
        if not path.exists():
            return False
        try:
            _bodies.folder, _bodies.used = self._folder.objects, set()
            held = _Unpickler(io.BytesIO(path.read_bytes())).load()
            if (held["format"], held["moto"]) != (FORMAT, moto.__version__):
                raise ValueError(f"written by format {held['format']} with moto {held['moto']}")
        except Exception as error:  # whatever a foreign or torn pickle raises, the cloud must still start
            print(f"The kept state cannot be read ({error}); it is now in {self._folder.move_aside()}. Starting empty.")
            return False
        for (service, account, region), backend in cast(Backends, held["backends"]).items():
            dict.__setitem__(get_backend(service)[account], region, backend)
        s3_backends.bucket_accounts.update(held["buckets"])
        for path in self._folder.objects.iterdir():  # only here: nothing is being written yet
            if path.name not in _bodies.used:
                path.unlink()
        return True

    def _dump(self, held: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        _Pickler(buffer, self._body).dump(held)
        return buffer.getvalue()

    def _body(self, key: Any) -> str:
        """The digest of an S3 object's body, after making sure that the body's file exists."""
        version = (key.contentsize, key.last_modified, key._version_id)
        known = self._digests.get(key)
        if known and known[0] == version:
            self._bodies.add(known[1])
            return known[1]
        new = self._folder.objects / ".new"
        hashed = hashlib.sha256()
        with new.open("wb") as file:
            for block in read_blocks(key):  # not whole: a backup may be large
                hashed.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        digest = hashed.hexdigest()
        new.replace(self._folder.objects / digest)
        if s3_bodies.is_large(key):  # this file is its body from now on, and not another copy
            key._value_buffer.close()
            key._value_buffer = (self._folder.objects / digest).open("rb")
        self._digests[key] = (version, digest)
        self._bodies.add(digest)
        return digest


def read_blocks(key: Any) -> Iterator[bytes]:
    """An object's body, piece by piece; nothing of one that was deleted (moto has closed its buffer)."""
    with key.lock, contextlib.suppress(ValueError):
        key._value_buffer.seek(0)
        while block := key._value_buffer.read(1 << 20):
            yield block


def _backends() -> Iterator[tuple[tuple[str, str, str], Any]]:
    for backends in list(BackendDict._instances):
        for account, region, backend in list(backends.iter_backends()):
            yield (backends.service_name, account, region), backend


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle (some backends hold lambdas), with S3 bodies replaced by their digests."""

    def __init__(self, file: io.BytesIO, body: Callable[[Any], str]) -> None:
        super().__init__(file)
        self._body = body

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, type(threading.Lock())):  # a lock is not state
            return ("lock",)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FakeKey):
            state = {name: value for name, value in obj.__dict__.items() if name not in ("_value_buffer", "lock")}
            return FakeKey.__new__, (FakeKey,), (state, self._body(obj)), None, None, _restore_key
        if isinstance(obj, _VersionedKeyStore):  # as a dictionary it shows the newest version of each object only
            return _VersionedKeyStore, (), dict(dict.items(obj)), None, None, _restore_versions
        if isinstance(obj, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):  # of KMS keys
            pem = obj.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (pem,)
        if isinstance(obj, defaultdict) and type(obj) is not defaultdict:
            # moto's ParameterDict has an __init__ of its own, which defaultdict's own way of pickling cannot call
            return _defaultdict, (type(obj), obj.default_factory), obj.__dict__, None, iter(dict.items(obj))
        return super().reducer_override(obj)


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, None)


def _defaultdict(kind: type[Any], factory: Any) -> Any:
    made: Any = defaultdict.__new__(kind)
    defaultdict.__init__(made, factory)
    return made


class _Unpickler(pickle.Unpickler):
    """Reads our own file, which lies in a folder of mode 0700."""

    def persistent_load(self, pid: Any) -> Any:
        if pid == ("lock",):
            return threading.Lock()
        raise pickle.UnpicklingError(f"unknown reference {pid!r}")


class _Bodies:
    """Where S3 bodies are read from while a snapshot is loaded, and which of them were."""

    folder: Path
    used: set[str]


_bodies = _Bodies()


def _restore_versions(store: Any, versions: dict[str, list[Any]]) -> None:
    dict.update(store, versions)


def _restore_key(key: Any, kept: tuple[dict[str, Any], str]) -> None:
    state, digest = kept
    key.__dict__.update(state)
    key.lock = threading.Lock()
    key._value_buffer = (_bodies.folder / digest).open("rb")  # moto closes it
    if not s3_bodies.is_large(key):
        with key._value_buffer as body:
            key._value_buffer = tempfile.SpooledTemporaryFile(state["_max_buffer_size"])  # noqa: SIM115 - likewise
            key._value_buffer.write(body.read())
    _bodies.used.add(digest)
