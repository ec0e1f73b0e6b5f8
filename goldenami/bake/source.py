"""The application's source: which commit a ref means, and a local directory as a reproducible archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldenami.errors import SourceError
from goldenami.tools import process

# What never belongs in an image, whatever the application's own ignore files say.
_LEFT_OUT = {".git", ".venv", "node_modules", "__pycache__", ".DS_Store"}

# Nobody is there to answer a question.
_ALONE = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}


@dataclass(frozen=True)
class Source:
    """The application as it will be baked.

    Attributes:
        commit: The full commit of a git source; for a directory, `dir-` and the digest of its content.
        archive: The directory as a .tar.gz, or None for a git source (the machine clones that itself).
        dependencies: The files that say what it depends on, as a .tar; None where the recipe names none.
    """

    commit: str
    archive: bytes | None = None
    dependencies: bytes | None = None


def resolve(location: str, ref: str, root: Path, *, is_git: bool, dependencies: Sequence[str] = ()) -> Source:
    """Find out what exactly would be baked.

    Args:
        location: A git URL, or a directory (relative to `root`).
        ref: A branch, tag or commit of a git source.
        root: The folder of the recipe.
        is_git: Which of the two `location` is.
        dependencies: The files in it that say what it depends on.

    Raises:
        SourceError: The repository or directory cannot be read, or the ref or a file is not there.
    """
    if is_git:
        commit = _remote_commit(location, ref)
        return Source(commit, dependencies=_remote_files(location, ref, commit, dependencies) if dependencies else None)
    folder = (root / location).resolve()
    if not folder.is_dir():
        raise SourceError(
            f"the application's directory {folder} does not exist", next="edit [app] source in golden.toml"
        )
    archive = pack(folder)
    # Of the content, not of its compression, which another version of zlib may do otherwise.
    return Source(
        "dir-" + hashlib.sha256(archive).hexdigest()[:40],
        gzip.compress(archive, compresslevel=6, mtime=0),
        _files(folder, dependencies) if dependencies else None,
    )


def pack(folder: Path, names: Sequence[str] | None = None) -> bytes:
    """Pack a directory, or the files of these names in it, so that the same content gives the same bytes: sorted, without
    owners or times.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if names is not None and str(relative) not in names:
                continue
            if _LEFT_OUT.intersection(relative.parts) or not (path.is_file() or path.is_dir() or path.is_symlink()):
                continue
            archive.inodes.clear()  # type: ignore[attr-defined]  # two names of one file are two files in the image
            entry = archive.gettarinfo(path, arcname=str(relative))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = 0
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            if entry.isreg():
                with path.open("rb") as content:
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
    """These files of a commit, without fetching any other."""
    with tempfile.TemporaryDirectory() as scratch:
        git = ["git", "-C", scratch]
        process.run([*git, "init", "--quiet"], timeout=30)
        # Not every server gives a commit by its id; the branch or tag that it was found at has it.
        for wanted in (commit, ref):
            fetch = ["fetch", "--quiet", "--depth=1", "--filter=blob:none", "--", url, wanted]
            done = process.run([*git, *fetch], env=_ALONE, timeout=120)
            if done.code == 0:
                break
        else:
            said = done.stderr.strip().splitlines()
            raise SourceError(f"cannot read {url}: {said[-1] if said else f'git exited with {done.code}'}")
        # The blobs that are asked for come from where the commit came from.
        process.run([*git, "config", "remote.origin.url", url], timeout=30)
        process.run([*git, "config", "remote.origin.promisor", "true"], timeout=30)
        done = process.run([*git, "checkout", "FETCH_HEAD", "--", *names], env=_ALONE, timeout=120)
        if done.code != 0:
            said = done.stderr.strip().splitlines()
            raise SourceError(
                f"{url} at {commit[:12]}: {said[-1] if said else 'the files cannot be read'}",
                next="edit [app.dependencies] files in golden.toml",
            )
        return _files(Path(scratch), names)


def _remote_commit(url: str, ref: str) -> str:
    if len(ref) == 40 and all(c in "0123456789abcdef" for c in ref):
        return ref
    done = process.run(
        [
            "git",
            "ls-remote",
            "--exit-code",
            "--",
            url,
            f"refs/heads/{ref}",
            f"refs/tags/{ref}",
            f"refs/tags/{ref}^{{}}",
        ],
        env=_ALONE,
        timeout=60,
    )
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        commit, _, name = line.partition("\t")
        found[name] = commit
    # A branch wins over a tag of the same name, as in `git checkout`; ^{} is the commit behind an annotated tag.
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"):
        if name in found:
            return found[name]
    if done.code == 2:
        raise SourceError(f"{url} has no branch or tag '{ref}'", next="edit [app] ref in golden.toml")
    said = done.stderr.strip().splitlines()
    raise SourceError(f"cannot read {url}: {said[-1] if said else f'git exited with {done.code}'}")
