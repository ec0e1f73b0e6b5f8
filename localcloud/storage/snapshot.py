"""The state of the AWS API on disk: all of moto's backends in one snapshot file. One dump contains every backend, so that
references between them, such as from a group to its instances, are preserved. Machines and sockets are never part of a
backend. Bodies of S3 objects are separate files, named by digest."""

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
        self._bodies: set[str] = set()  # digests in the last snapshot
        self._digests: weakref.WeakKeyDictionary[Any, tuple[object, str]] = weakref.WeakKeyDictionary()

    def save(self) -> None:
        """Write the state atomically. The caller holds the lock under which backends change."""
        state = {
            "format": FORMAT,
            "moto": moto.__version__,
            "backends": dict(_backends()),
            "buckets": s3_backends.bucket_accounts,  # bucket names are global: moto stores them outside of the backends
        }
        former, self._bodies = self._bodies, set()
        write_atomically(self._folder.snapshot_file, self._dump(state))
        for digest in former - self._bodies:  # deleted objects and joined parts
            (self._folder.objects / digest).unlink(missing_ok=True)

    def load(self) -> bool:
        """Restore the backends. Returns False if there is no snapshot, or if it is not readable."""
        path = self._folder.snapshot_file
        if not path.exists():
            return False
        try:
            _bodies.folder, _bodies.used = self._folder.objects, set()
            state = _Unpickler(io.BytesIO(path.read_bytes())).load()
            if (state["format"], state["moto"]) != (FORMAT, moto.__version__):
                raise ValueError(f"written by format {state['format']} with moto {state['moto']}")
        except Exception as error:  # a damaged pickle may raise any error, and the cloud must start nevertheless
            print(f"Cannot read the saved state: {error}. It was moved to {self._folder.move_aside()}. Starting empty.")
            return False
        for (service, account, region), backend in cast(Backends, state["backends"]).items():
            dict.__setitem__(get_backend(service)[account], region, backend)
        s3_backends.bucket_accounts.update(state["buckets"])
        for path in self._folder.objects.iterdir():  # at start only: no body is being written
            if path.name not in _bodies.used:
                path.unlink()
        return True

    def _dump(self, state: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        _Pickler(buffer, self._body).dump(state)
        return buffer.getvalue()

    def _body(self, key: Any) -> str:
        """Return the digest of an S3 object's body; write its file first if it does not exist."""
        version = (key.contentsize, key.last_modified, key._version_id)
        cached = self._digests.get(key)
        if cached and cached[0] == version:
            self._bodies.add(cached[1])
            return cached[1]
        new = self._folder.objects / ".new"
        hashed = hashlib.sha256()
        with new.open("wb") as file:
            for block in read_blocks(key):  # a backup may be larger than the memory
                hashed.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        digest = hashed.hexdigest()
        new.replace(self._folder.objects / digest)
        if s3_bodies.is_large(key):  # this file replaces moto's copy
            key._value_buffer.close()
            key._value_buffer = (self._folder.objects / digest).open("rb")
        self._digests[key] = (version, digest)
        self._bodies.add(digest)
        return digest


def read_blocks(key: Any) -> Iterator[bytes]:
    """Yield an object's body in blocks; none if the object was deleted (moto has closed its buffer)."""
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
        if isinstance(obj, type(threading.Lock())):  # locks are created again
            return ("lock",)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FakeKey):
            state = {name: value for name, value in obj.__dict__.items() if name not in ("_value_buffer", "lock")}
            return FakeKey.__new__, (FakeKey,), (state, self._body(obj)), None, None, _restore_key
        if isinstance(obj, _VersionedKeyStore):  # its items() returns only the newest version of each object
            return _VersionedKeyStore, (), dict(dict.items(obj)), None, None, _restore_versions
        if isinstance(obj, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):  # of KMS keys
            pem = obj.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (pem,)
        if isinstance(obj, defaultdict) and type(obj) is not defaultdict:
            # moto's ParameterDict has its own __init__, which defaultdict's __reduce__ cannot call.
            return _defaultdict, (type(obj), obj.default_factory), obj.__dict__, None, iter(dict.items(obj))
        return super().reducer_override(obj)


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, None)


def _defaultdict(kind: type[Any], factory: Any) -> Any:
    result: Any = defaultdict.__new__(kind)
    defaultdict.__init__(result, factory)
    return result


class _Unpickler(pickle.Unpickler):
    """Reads the cloud's own file, in a folder of mode 0700."""

    def persistent_load(self, pid: Any) -> Any:
        if pid == ("lock",):
            return threading.Lock()
        raise pickle.UnpicklingError(f"unknown reference {pid!r}")


class _Bodies:
    """The folder of S3 bodies while a snapshot is loaded, and the digests in use."""

    folder: Path
    used: set[str]


_bodies = _Bodies()


def _restore_versions(store: Any, versions: dict[str, list[Any]]) -> None:
    dict.update(store, versions)


def _restore_key(key: Any, saved: tuple[dict[str, Any], str]) -> None:
    state, digest = saved
    key.__dict__.update(state)
    key.lock = threading.Lock()
    key._value_buffer = (_bodies.folder / digest).open("rb")  # moto closes it
    if not s3_bodies.is_large(key):
        with key._value_buffer as body:
            key._value_buffer = tempfile.SpooledTemporaryFile(state["_max_buffer_size"])  # noqa: SIM115 - likewise
            key._value_buffer.write(body.read())
    _bodies.used.add(digest)
