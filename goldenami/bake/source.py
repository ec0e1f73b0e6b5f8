"""Source of the application: the commit of a git ref, or a local directory as a reproducible archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldenami.bake.source_files import list_files
from goldenami.errors import SourceError
from goldenami.tools import process

# Fail instead of prompting.
_NON_INTERACTIVE = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}


@dataclass(frozen=True)
class Source:
    """The application's source, as it will be baked.

    Attributes:
        commit: The full commit of a git source; for a directory, `dir-` and the digest of its content.
        archive: The directory as a .tar.gz; None for a git source, which the builder clones.
        dependencies: The files that declare its dependencies, as a .tar; None if the recipe lists none.
    """

    commit: str
    archive: bytes | None = None
    dependencies: bytes | None = None


def resolve(location: str, ref: str, root: Path, *, is_git: bool, dependencies: Sequence[str] = ()) -> Source:
    """Resolve the source of the recipe to a commit or an archive.

    Raises:
        SourceError: The repository or directory cannot be read, or the ref or a file does not exist.
    """
    if is_git:
        commit = _remote_commit(location, ref)
        return Source(commit, dependencies=_remote_files(location, ref, commit, dependencies) if dependencies else None)
    folder = (root / location).resolve()
    if not folder.is_dir():
        reason = f"the application's directory {folder} does not exist"
        raise SourceError(reason, next="edit [app] source in golden.toml")
    archive = pack(folder)
    # The digest is of the uncompressed archive: versions of zlib compress differently.
    return Source(
        "dir-" + hashlib.sha256(archive).hexdigest()[:40],
        gzip.compress(archive, compresslevel=6, mtime=0),
        _files(folder, dependencies) if dependencies else None,
    )


def pack(folder: Path, names: Sequence[str] | None = None) -> bytes:
    """Return a directory, or these files of it, as a reproducible .tar: sorted, without owners or times.

    Permissions are kept, but for the writing of others, which depends on the umask of a checkout.
    """
    paths = {Path(name) for name in names or ()}
    if names is None:
        files = list_files(folder)
        paths = {*files, *(parent for path in files for parent in path.parents)} - {Path()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(paths):
            archive.inodes.clear()  # type: ignore[attr-defined]  # pack hard links as separate files
            entry = archive.gettarinfo(folder / path, arcname=str(path))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = 0
            entry.mode &= 0o755
            if entry.isreg():
                with (folder / path).open("rb") as content:
                    archive.addfile(entry, content)
            else:
                archive.addfile(entry)
    return packed.getvalue()


def _files(folder: Path, names: Sequence[str]) -> bytes:
    for name in names:
        if not (folder / name).is_file():
            raise SourceError(f"the source has no file {name}", next="edit [app.dependencies] files in golden.toml")
    return pack(folder, names)


def _remote_files(url: str, ref: str, commit: str, names: Sequence[str]) -> bytes:
    """Fetch these files of a commit, without the others."""
    with tempfile.TemporaryDirectory() as scratch:
        git = ["git", "-C", scratch]
        process.run([*git, "init", "--quiet"], timeout=30)
        # Not every server allows fetching a commit by its id; its branch or tag contains it.
        for revision in (commit, ref):
            fetch = ["fetch", "--quiet", "--depth=1", "--filter=blob:none", "--", url, revision]
            result = process.run([*git, *fetch], env=_NON_INTERACTIVE, timeout=120)
            if result.code == 0:
                break
        else:
            raise SourceError(f"cannot read {url}: {result.last_line}")
        # `git checkout` fetches the missing blobs from the promisor remote.
        process.run([*git, "config", "remote.origin.url", url], timeout=30)
        process.run([*git, "config", "remote.origin.promisor", "true"], timeout=30)
        result = process.run([*git, "checkout", "FETCH_HEAD", "--", *names], env=_NON_INTERACTIVE, timeout=120)
        if result.code != 0:
            reason = f"cannot read {url} at {commit[:12]}: {result.last_line}"
            raise SourceError(reason, next="edit [app.dependencies] files in golden.toml")
        return _files(Path(scratch), names)


def _remote_commit(url: str, ref: str) -> str:
    if len(ref) == 40 and all(c in "0123456789abcdef" for c in ref):
        return ref
    # A branch takes precedence over a tag of the same name, as in `git checkout`; ^{} is the commit of an annotated tag.
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"]
    result = process.run(["git", "ls-remote", "--exit-code", "--", url, *names], env=_NON_INTERACTIVE, timeout=60)
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in result.stdout.splitlines())}
    if found := next((commits[name] for name in names if name in commits), ""):
        return found
    if result.code == 2:
        raise SourceError(f"{url} has no branch or tag '{ref}'", next="edit [app] ref in golden.toml")
    raise SourceError(f"cannot read {url}: {result.last_line}")
