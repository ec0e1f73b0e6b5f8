"""The files of an application's directory that go into the image: those that git would take."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldenami.errors import SourceError
from goldenami.tools import process

# Never part of an image, whatever the application's own ignore files contain.
_EXCLUDED = {".git", ".venv", "node_modules", "__pycache__", ".DS_Store"}
IGNORE_FILE = ".goldenignore"


def list_files(folder: Path) -> list[Path]:
    """Return the files and links of a directory, relative to it and sorted: tracked or not ignored by git, without folders.

    `.gitignore` files are read as git reads them, also where the directory is not in a repository. `.goldenignore` files in
    the same form exclude further files, tracked or not.

    Raises:
        SourceError: git cannot list the directory, or a link leads out of it.
    """
    with _git(folder) as git:
        listed = _list(git, folder, "--exclude-standard")
        excluded = _list(git, folder, "--ignored", f"--exclude-per-directory={IGNORE_FILE}")
    files = []
    for path in sorted(_expand(folder, listed - excluded)):
        if _EXCLUDED.isdisjoint(path.parts) and path.name != IGNORE_FILE:
            _check_link(folder, path)
            files.append(path)
    return files


def _expand(folder: Path, names: set[str]) -> Iterator[Path]:
    """Yield the files that exist; of a folder, which is a submodule or another repository, its own."""
    for name in names:
        path = folder / name
        if path.is_symlink() or path.is_file():
            yield Path(name)
        elif path.is_dir():
            yield from (Path(name) / file for file in list_files(path))


@contextlib.contextmanager
def _git(folder: Path) -> Iterator[list[str]]:
    """Yield git's command line for a directory; with an empty repository if the directory is not in one."""
    # Nothing that the repository configures is run, so its owner may be another user.
    git = ["git", "-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-C", str(folder)]
    inside = process.run([*git, "rev-parse", "--is-inside-work-tree"], timeout=30)
    if inside.code == 0 and inside.stdout.strip() == "true":
        yield git
        return
    if "not a git repository" not in inside.stderr:
        raise SourceError(f"cannot list the files of {folder}: {inside.last_line}")
    with tempfile.TemporaryDirectory() as scratch:
        process.run(["git", "init", "--quiet", "--bare", scratch], timeout=30)
        yield [*git, f"--git-dir={scratch}", f"--work-tree={folder}"]


def _list(git: Sequence[str], folder: Path, *filters: str) -> set[str]:
    """Return the tracked and other files that git lists with these filters."""
    argv = [*git, "ls-files", "--cached", "--others", *filters, "-z", "--", "."]
    result = process.run(argv, timeout=120, errors="surrogateescape")
    if result.code != 0:
        raise SourceError(f"cannot list the files of {folder}: {result.last_line}")
    return {name.rstrip("/") for name in result.stdout.split("\0") if name}


def _check_link(folder: Path, path: Path) -> None:
    if not (folder / path).is_symlink():
        return
    target = Path(os.path.normpath(path.parent / (folder / path).readlink()))
    if target.is_absolute() or target.parts[:1] == ("..",):
        raise SourceError(
            f"the link {path} of {folder} leads out of the directory, to {target}",
            next=f"replace it by the file, or list it in {folder / IGNORE_FILE}",
        )
