"""The application's source: the commit behind a ref, and a directory as the same bytes every time."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings as limits, strategies as st

from goldenami.bake import source
from goldenami.errors import SourceError

name = st.text(st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..", ".git", ".venv")
)
# (path, content, executable); a path that is another's folder is left out when the tree is made.
trees = st.dictionaries(
    st.lists(name, min_size=1, max_size=3).map("/".join), st.tuples(st.binary(max_size=40), st.booleans()), max_size=5
)


def make(tree: dict[str, tuple[bytes, bool]], folder: Path, seed: int) -> dict[str, tuple[bytes, bool]]:
    """Make a tree, in an order and with times and masks of its own; returns what could be made."""
    rng = random.Random(seed)
    kept = {path: it for path, it in tree.items() if not any(other.startswith(path + "/") for other in tree)}
    for path in rng.sample(sorted(kept), len(kept)):
        content, executable = kept[path]
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(rng.choice([0o755, 0o775] if executable else [0o644, 0o664]))
        os.utime(file, (rng.randrange(2**31), rng.randrange(2**31)))
        if os.geteuid() == 0:
            os.chown(file, rng.randrange(60000), rng.randrange(60000))
    return kept


@limits(max_examples=8)
@given(trees, trees, st.integers(), st.integers())
def test_the_archive_is_a_function_of_the_content_alone(
    one: dict[str, tuple[bytes, bool]], other: dict[str, tuple[bytes, bool]], seed: int, again: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second, third = (Path(folder) / n for n in "abc")
        for place in (first, second, third):
            place.mkdir()
        kept = make(one, first, seed)
        make(one, second, again)
        kept_other = make(other, third, seed)
        assert source.pack(first) == source.pack(second)
        assert (source.pack(first) == source.pack(third)) == (kept == kept_other)
        with tarfile.open(fileobj=io.BytesIO(source.pack(first))) as archive:
            files = {m.name: (archive.extractfile(m).read(), m.mode == 0o755) for m in archive if m.isreg()}  # type: ignore[union-attr]
            assert files == kept
            assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in archive.getmembers()} <= {
                (0, 0, "root", "root", 0)
            }


def test_what_never_belongs_in_an_image_stays_out(tmp_path: Path) -> None:
    for path in (".git/config", "a/node_modules/x/y.js", "a/.venv/z", "__pycache__/m.pyc", "a/.DS_Store", "a/kept"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with tarfile.open(fileobj=io.BytesIO(source.pack(tmp_path))) as archive:
        assert archive.getnames() == ["a", "a/kept"]


def test_links_are_kept_as_links_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    app = tmp_path / "app"
    (app / "a").mkdir(parents=True)
    (app / "b").write_text("x")
    (app / "a/link").symlink_to("../b")
    (app / "dangling").symlink_to("nowhere")
    with tarfile.open(fileobj=io.BytesIO(source.pack(app))) as archive:
        links = [(m.name, m.linkname) for m in archive if m.issym()]
        assert links == [("a/link", "../b"), ("dangling", "nowhere")]
    for target in ("../outside", "/etc/passwd", "a/../../outside/secret"):
        (app / "out").symlink_to(target)
        with pytest.raises(SourceError, match=r"the link out of .*/app leads out of the directory"):
            source.pack(app)
        (app / "out").unlink()


def listed(folder: Path) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(source.pack(folder))) as archive:
        return {member.name for member in archive if not member.isdir()}


@pytest.mark.parametrize("is_repository", [True, False])
def test_what_git_ignores_stays_out(tmp_path: Path, is_repository: bool) -> None:
    app = tmp_path / "app"
    for name in ("main.go", ".env", "secret/id_ed25519", "logs/a.log", "logs/kept.log", "notes.md", '비밀 "x".txt'):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("x")
    (app / ".gitignore").write_text(".env\nsecret/\n*.log\n!kept.log\n")
    (app / ".goldenignore").write_text("notes.md\n")
    kept = {"main.go", ".gitignore", "logs/kept.log", '비밀 "x".txt'}
    if is_repository:
        (app / ".git/info").mkdir(parents=True)
        subprocess.run(["git", "init", "-q", str(app)], check=True)
        subprocess.run(["git", "-C", str(app), "add", "-f", "logs/a.log", "main.go", "notes.md"], check=True)
        kept |= {"logs/a.log"}  # tracked, although a pattern matches it
        (app / "gone.go").write_text("x")
        subprocess.run(["git", "-C", str(app), "add", "gone.go"], check=True)
        (app / "gone.go").unlink()
    assert listed(app) == kept


def test_a_repository_within_the_directory_brings_its_own_files(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "app")], check=True)
    subprocess.run(["git", "init", "-q", str(tmp_path / "app/vendor/lib")], check=True)
    (tmp_path / "app/vendor/lib/a.go").write_text("x")
    (tmp_path / "app/vendor/lib/.env").write_text("x")
    (tmp_path / "app/vendor/lib/.gitignore").write_text(".env\n")
    assert listed(tmp_path / "app") == {"vendor/lib/a.go", "vendor/lib/.gitignore"}


def test_permissions_are_kept_but_for_the_writing_of_others(tmp_path: Path) -> None:
    for mode in (0o600, 0o640, 0o666, 0o700, 0o777):
        (tmp_path / f"{mode:o}").write_text("x")
        (tmp_path / f"{mode:o}").chmod(mode)
    with tarfile.open(fileobj=io.BytesIO(source.pack(tmp_path))) as archive:
        modes = {member.name: f"{member.mode:o}" for member in archive}
    assert modes == {"600": "600", "640": "640", "666": "644", "700": "700", "777": "755"}


def test_hard_links_make_no_difference(tmp_path: Path) -> None:
    linked, copied = tmp_path / "linked", tmp_path / "copied"
    for folder in (linked, copied):
        folder.mkdir()
        (folder / "a").write_text("x")
    os.link(linked / "a", linked / "b")
    (copied / "b").write_text("x")
    assert source.pack(linked) == source.pack(copied)


def test_a_directory_s_commit_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.go").write_text("package main")
    first = source.resolve("app", "ignored", tmp_path, is_git=False)
    assert first == source.resolve("app", "", tmp_path, is_git=False)
    assert first.commit.startswith("dir-")
    assert len(first.commit) == 44
    (tmp_path / "app/main.go").write_text("package main\n")
    assert source.resolve("app", "", tmp_path, is_git=False).commit != first.commit


@pytest.mark.parametrize("location", ["nowhere", "file"])
def test_a_directory_that_is_not_there_is_said(tmp_path: Path, location: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=f"{location} does not exist") as error:
        source.resolve(location, "", tmp_path, is_git=False)
    assert error.value.next == "edit [app] source in golden.toml"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")

    def git(*words: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "one")
    git("tag", "-a", "v1.0", "-m", "annotated")
    git("tag", "light")
    git("commit", "--allow-empty", "-m", "two")
    git("tag", "both", "HEAD~1")
    git("branch", "both")
    git("checkout", "-b", "files", "HEAD~1")
    (folder / "go.mod").write_text("module one\n")
    git("add", ".")
    git("commit", "-m", "three")
    git("checkout", "main")
    return folder


def unpacked(dependencies: bytes | None) -> dict[str, bytes]:
    assert dependencies is not None
    with tarfile.open(fileobj=io.BytesIO(dependencies)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def test_the_files_that_name_the_dependencies_are_taken_alone(tmp_path: Path) -> None:
    (tmp_path / "app/sub").mkdir(parents=True)
    for name in ("go.mod", "sub/go.sum", "main.go"):
        (tmp_path / "app" / name).write_text(name)
    names = ("go.mod", "sub/go.sum")
    found = source.resolve("app", "", tmp_path, is_git=False, dependencies=names)
    assert unpacked(found.dependencies) == {"go.mod": b"go.mod", "sub/go.sum": b"sub/go.sum"}
    (tmp_path / "app/main.go").write_text("changed")
    again = source.resolve("app", "", tmp_path, is_git=False, dependencies=names)
    assert (again.dependencies == found.dependencies, again.commit == found.commit) == (True, False)
    with pytest.raises(SourceError, match=r"no file go\.work"):
        source.resolve("app", "", tmp_path, is_git=False, dependencies=["go.work"])


def test_of_a_repository_they_are_those_of_the_commit(repository: Path) -> None:
    names = ["go.mod"]
    found = source.resolve(str(repository), "files", Path(), is_git=True, dependencies=names)
    assert unpacked(found.dependencies) == {"go.mod": b"module one\n"}
    full = source.resolve(str(repository), found.commit, Path(), is_git=True, dependencies=names)
    assert full == found
    for ref in ("files", "main"):
        with pytest.raises(SourceError, match="missing") as error:
            source.resolve(str(repository), ref, Path(), is_git=True, dependencies=["missing"])
        assert error.value.next == "edit [app.dependencies] files in golden.toml"


def commit(repository: Path, name: str) -> str:
    words = ["git", "rev-parse", name]
    return subprocess.run(words, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("ref", "means"),
    [("main", "refs/heads/main"), ("light", "HEAD~1"), ("v1.0", "HEAD~1"), ("both", "refs/heads/both")],
)
def test_a_ref_means_the_commit_behind_it(repository: Path, ref: str, means: str) -> None:
    found = source.resolve(str(repository), ref, Path(), is_git=True)
    assert found == source.Source(commit(repository, means))


def test_a_full_commit_needs_no_look_up() -> None:
    full = "0123456789abcdef0123456789abcdef01234567"
    assert source.resolve("https://nowhere.invalid/x.git", full, Path(), is_git=True).commit == full


@pytest.mark.parametrize("ref", ["missing", "v1", "0123456", "HEAD"])
def test_a_ref_that_is_not_there_is_said(repository: Path, ref: str) -> None:
    with pytest.raises(SourceError, match=f"has no branch or tag '{ref}'"):
        source.resolve(str(repository), ref, Path(), is_git=True)


def test_a_repository_that_cannot_be_read_is_said_in_git_s_words(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"cannot read {tmp_path}/none: "):
        source.resolve(f"{tmp_path}/none", "main", Path(), is_git=True)


def test_a_url_that_looks_like_an_option_is_no_option(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(SourceError):
        source.resolve(f"--upload-pack=touch {mark}", "main", tmp_path, is_git=True)
    assert not mark.exists()
