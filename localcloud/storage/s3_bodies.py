"""Bodies of large S3 objects stay in files; moto would hold several copies of them in memory.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from io import BufferedRandom
from typing import Any, BinaryIO

from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import S3_UPLOAD_PART_MIN_SIZE, FakeKey, FakeMultipart, MultipartChecksumBuilder, S3Backend
from moto.s3.responses import S3Response

_BLOCK = 1 << 20  # bytes
_value = FakeKey.value
_complete_upload = S3Backend.complete_multipart_upload
_get_key = S3Response._get_key


class FileBody:
    """A range of a file, read while it is sent. The file stays open even if the object is deleted meanwhile."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file, self._begin, self._end = file, begin, end

    def __len__(self) -> int:
        return self._end - self._begin

    def __getitem__(self, piece: slice) -> FileBody:
        begin, end, _ = piece.indices(len(self))
        return FileBody(self._file, self._begin + begin, self._begin + end)

    def __iter__(self) -> Iterator[bytes]:
        for offset in range(self._begin, self._end, _BLOCK):
            yield os.pread(self._file.fileno(), min(_BLOCK, self._end - offset), offset)


class StreamedKey:
    """One of moto's objects whose body is not read before it is sent."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)

    @property
    def value(self) -> bytes | FileBody:
        if not is_large(self._key):
            return bytes(self._key.value)
        with self._key.lock:
            self._key._value_buffer.flush()
            return FileBody(os.fdopen(os.dup(self._key._value_buffer.fileno()), "rb"), 0, self._key.contentsize)


def is_large(key: Any) -> bool:
    """Return True if moto would store the object's body in a file."""
    return bool(key.contentsize > key._max_buffer_size)


def install() -> None:
    """Replace how moto joins parts and sends objects."""

    def set_value(self: Any, value: Any) -> None:
        if isinstance(value, BufferedRandom):
            self._value_buffer.close()
            self._value_buffer, self.contentsize = value, value.tell()
        else:
            _value.__set__(self, value)

    def complete(self: Any, body: Iterable[tuple[int, str]]) -> tuple[Any, str, Any]:
        """CompleteMultipartUpload. moto joins the parts in memory and copies the result."""
        algorithm, kind = (self.metadata.get(f"x-amz-checksum-{name}") for name in ("algorithm", "type"))
        sums = MultipartChecksumBuilder(algorithm, kind)
        joined = tempfile.TemporaryFile()  # noqa: SIM115 - it becomes the object's body
        parts: list[Any] = []
        for number, etag in body:
            part = self.parts.get(number)
            if part is None or part.etag.strip('"') != etag.strip('"'):
                raise InvalidPart
            if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
                raise EntityTooSmall
            sums.addPart(part.value)
            part._value_buffer.seek(0)
            shutil.copyfileobj(part._value_buffer, joined, _BLOCK)
            parts.append(part)
        if not parts:
            raise MalformedXML
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        return joined, f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}", sums.build()

    def complete_multipart_upload(self: Any, *args: Any) -> Any:
        """CompleteMultipartUpload. moto keeps the parts of a completed object."""
        key = _complete_upload(self, *args)
        key.multipart.parts.clear()
        key.multipart.partlist.clear()
        return key

    def get_key(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, bool]:
        """GetObject. moto sends an object from memory, and reads all of it for a range request too."""
        key, unmodified = _get_key(self, *args, **kwargs)
        return StreamedKey(key), unmodified

    FakeKey.value = property(_value.__get__, set_value)
    FakeMultipart.complete = complete
    S3Backend.complete_multipart_upload = complete_multipart_upload
    S3Response._get_key = get_key
