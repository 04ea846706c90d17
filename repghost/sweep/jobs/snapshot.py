"""The code as it was when a sweep was started: what queued jobs run, whatever is edited meanwhile.

`<study>/code/<digest>/` holds the package `repghost` and, beside it, `COMMIT` and for a dirty tree
`dirty.diff`. It goes first on the PYTHONPATH of jobs.
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repghost.provenance import PACKAGE, STATED, commit, git

LONGEST_DIFF = 5_000_000  # bytes
DIFF = (  # the same whatever the user's git is set to, so that `git apply` takes it
    *("-c", "diff.relative=false", "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)
COMPILED = ("__pycache__", ".pyc", ".pyo")


@dataclass(frozen=True)
class Snapshot:
    """A copy of the code: its folder, the digest of its contents, and the commit it is nearest."""

    path: Path
    digest: str
    commit: str


def take(study_folder: Path) -> Snapshot:
    """Copy the running code to the study's folder, unless the same copy is there already.

    The same code of the same commit shares a copy, with the `dirty.diff` of the first time.

    Raises:
        OSError: it cannot be written, as on a full disk; nothing is left then.
    """
    if STATED.exists():  # this is a job that submits jobs: they run what it runs
        return _read(STATED.parent)
    files = {f"{PACKAGE.name}/{name}": text for name, text in _files(PACKAGE)}
    files["COMMIT"] = f"{commit()}\n".encode()
    digest = _digest(files)
    path = study_folder.absolute() / "code" / digest
    if not _is_whole(path):
        _write(path, files)
    return Snapshot(path, digest, commit())


def listed(study_folder: Path) -> list[Snapshot]:
    """Return the snapshots of a study, the first that was taken first."""
    found = (study_folder.absolute() / "code").glob("*/COMMIT")
    whole = [path for path in found if not path.parent.name.startswith(".")]
    return [_read(path.parent) for path in sorted(whole, key=lambda path: path.stat().st_mtime)]


def environment(snapshot: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` changed so that Python imports the code of `snapshot`.

    Not from the working directory either, which `python -m` and `python -c` would look into first:
    it is often the very tree that the snapshot was taken of.

    Raises:
        ValueError: the path cannot stand in PYTHONPATH.
    """
    path = str(snapshot.absolute())
    if os.pathsep in path:
        raise ValueError(f"{path}: PYTHONPATH cannot hold a path with {os.pathsep!r} in it")
    paths = [path, *filter(None, [base.get("PYTHONPATH")])]
    return dict(base) | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}


def _read(path: Path) -> Snapshot:
    return Snapshot(path, path.name, (path / "COMMIT").read_text().strip())


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file by its name in the package, code and data alike."""
    for folder, folders, names in os.walk(package):
        folders[:] = [name for name in folders if not _is_left_out(name)]
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):  # removed under our eyes
                if not _is_left_out(name):
                    yield path.relative_to(package).as_posix(), path.read_bytes()


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name.endswith(("~", *COMPILED))


def _digest(files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, text in sorted(files.items()):
        whole.update(f"{name}\0{len(text)}\0".encode() + text)
    return whole.hexdigest()[:12]


def _is_whole(path: Path) -> bool:
    """Say whether a snapshot is what its name says: no power cut tore it, nobody edited it."""
    names = (PACKAGE.name, "COMMIT")
    try:
        found = {name: text for name, text in _files(path) if name.split("/")[0] in names}
    except OSError:
        return False
    return _digest(found) == path.name


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder at once: it is there whole, or not at all."""
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        for name, text in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(text)
        if "+" in commit():
            _write_diff(draft / "dirty.diff")
        _put(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, path: Path) -> None:
    """Rename `draft` to `path`; one that is whole stays, a broken one is moved away."""
    while True:
        try:
            draft.rename(path)
            return
        except OSError:
            if not path.exists():
                raise
        if _is_whole(path):
            return  # somebody was quicker
        broken = path.with_name(f".broken-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)


def _write_diff(path: Path) -> None:
    """Write how the tracked files differ from the commit, and the names of what is not tracked.

    Contents of untracked files stay out: there may be passwords in them.
    """
    if git(*DIFF, f"--output={path}") is None:
        path.write_text("# git did not tell the differences\n")
    cut = path.stat().st_size > LONGEST_DIFF
    with path.open("ab") as file:
        if cut:
            file.truncate(LONGEST_DIFF)
            file.write(f"\n# cut at {LONGEST_DIFF} bytes\n".encode())
        untracked = git("ls-files", "--others", "--exclude-standard", "--full-name", ":/") or ""
        for name in untracked.splitlines():
            file.write(f"# not tracked: {name}\n".encode())
