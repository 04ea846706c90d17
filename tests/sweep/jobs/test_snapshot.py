"""The copy of the code that jobs run: what is in it, that it is what they import, its commit."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import repghost
from repghost.sweep.jobs.snapshot import Snapshot, environment, listed, take

PACKAGE = Path(repghost.__file__).parent
WHERE = "import repghost, repghost.provenance as p; print(repghost.__file__, p.commit())"
TAKE = """
import sys; from pathlib import Path; from repghost.sweep.jobs.snapshot import take
print(take(Path(sys.argv[1])).path)
"""
OURS = """
import sys; from pathlib import Path; import repghost.sweep.jobs.work, repghost.trial
files = [Path(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
ours = [f for f in files if any(f.is_relative_to(folder) for folder in sys.argv[1:])]
print(*[f for f in ours if "site-packages" not in f.parts], sep="\\n")
"""


def python(code: Path, *arguments: object, cwd: Path | None = None, **changes: str) -> str:
    """Run Python on the code in the folder `code` and return what it prints."""
    env = environment(code, os.environ) | changes
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def git(tree: Path, *arguments: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of its own with the code in it, committed."""
    tree = tmp_path / "tree"
    shutil.copytree(PACKAGE, tree / "repghost", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / ".gitignore").write_text("__pycache__\noutputs\n")
    (tree / "notes.txt").write_text("old\n")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "first")
    return tree


def taken(tree: Path, **changes: str) -> Snapshot:
    study = tree / "outputs" / "study"
    path = Path(python(tree, "-c", TAKE, study, **changes))
    return next(snapshot for snapshot in listed(study) if snapshot.path == path)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_snapshot_holds_every_file_of_the_package_and_no_caches(tmp_path):
    snapshot = take(tmp_path)
    package = {name for name in names(PACKAGE) if "__pycache__" not in name}
    assert names(snapshot.path / "repghost") == package
    for name in package:
        assert (snapshot.path / "repghost" / name).read_bytes() == (PACKAGE / name).read_bytes()


def test_the_same_code_shares_a_snapshot_and_changed_code_has_one_of_its_own(tree):
    first = taken(tree)
    inode = first.path.stat().st_ino
    assert taken(tree) == first and first.path.stat().st_ino == inode
    (tree / "repghost" / "data.bin").write_bytes(b"\0\1")
    second = taken(tree)
    assert second.digest != first.digest
    assert (second.path / "repghost" / "data.bin").read_bytes() == b"\0\1"
    assert listed(tree / "outputs" / "study") == [first, second]


def test_a_clean_tree_is_its_commit_and_a_dirty_one_says_so_with_the_difference(tree):
    head = git(tree, "rev-parse", "--short=12", "HEAD")
    clean = taken(tree)
    assert clean.commit == head and not (clean.path / "dirty.diff").exists()
    (tree / "notes.txt").write_text("new\n")
    (tree / "password").write_text("hunter2\n")
    dirty = taken(tree)
    assert dirty.commit == f"{head}+dirty"
    diff = (dirty.path / "dirty.diff").read_text()
    assert "-old\n+new\n" in diff and "# not tracked: password\n" in diff
    assert "hunter2" not in diff


def test_a_difference_of_many_megabytes_is_cut_and_says_so(tree):
    (tree / "notes.txt").write_text("a line that is new\n" * 400_000)
    diff = taken(tree).path / "dirty.diff"
    assert diff.stat().st_size < 5_001_000
    assert diff.read_text().endswith("# cut at 5000000 bytes\n")


def test_the_difference_can_be_applied_whatever_the_users_git_is_set_to(tree):
    for setting in ("color.ui=always", "diff.noprefix=true", "diff.external=true"):
        git(tree, "config", *setting.split("="))
    (tree / "notes.txt").write_text("new\n")
    diff = taken(tree).path / "dirty.diff"
    git(tree, "checkout", "-q", "notes.txt")
    git(tree, "apply", str(diff))
    assert (tree / "notes.txt").read_text() == "new\n"


def test_without_git_the_code_is_copied_and_its_commit_unknown(tree, tmp_path):
    snapshot = taken(tree, PATH=str(tmp_path))
    assert snapshot.commit == "unknown" and "repghost/trial.py" in names(snapshot.path)


def test_a_git_that_does_not_say_whether_the_tree_is_clean_is_not_believed(tree, tmp_path):
    head = git(tree, "rev-parse", "--short=12", "HEAD")
    real, fake = shutil.which("git"), tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\n[ "$1" != status ] || exit 1\nexec {real} "$@"\n')
    fake.chmod(0o755)
    path = os.pathsep.join([str(fake.parent), os.environ["PATH"]])
    assert taken(tree, PATH=path).commit == f"{head}+unknown"


def test_a_repository_around_installed_code_is_not_taken_for_its_own(tree):
    installed = tree / "outputs" / "site-packages"
    shutil.copytree(tree / "repghost", installed / "repghost")
    assert python(installed, "-c", WHERE).endswith(" unknown")


@pytest.mark.parametrize("how", ["-c", "-m"])
def test_a_job_imports_the_snapshot_from_whichever_folder_it_is_started(tree, how):
    snapshot = taken(tree)
    (tree / "repghost" / "__init__.py").write_text("raise SystemExit('tomorrow')")
    git(tree, "commit", "-qam", "tomorrow's")
    (snapshot.path / "where.py").write_text(WHERE)
    said = python(snapshot.path, how, {"-c": WHERE, "-m": "where"}[how], cwd=tree)
    assert said == f"{snapshot.path / 'repghost' / '__init__.py'} {snapshot.commit}"


def test_what_was_on_the_path_comes_after_the_snapshot(tmp_path):
    base = {"PYTHONPATH": "before", "HOME": "home"}
    changed = environment(tmp_path, base)
    assert changed["PYTHONPATH"] == f"{tmp_path}{os.pathsep}before"
    assert changed["HOME"] == "home" and base["PYTHONPATH"] == "before"
    with pytest.raises(ValueError, match="PYTHONPATH cannot hold"):
        environment(tmp_path / "a:b", base)


def test_a_job_imports_nothing_of_ours_that_is_not_in_the_snapshot(tmp_path):
    snapshot = take(tmp_path)
    root = PACKAGE.parent
    imported = python(snapshot.path, "-c", OURS, root, snapshot.path, cwd=root).splitlines()
    assert str(snapshot.path / "repghost" / "trial.py") in imported
    assert [path for path in imported if not path.startswith(str(snapshot.path))] == []


def test_a_job_that_starts_a_sweep_hands_on_its_own_snapshot(tree):
    snapshot = taken(tree)
    path = python(snapshot.path, "-c", TAKE, tree / "outputs" / "other")
    assert Path(path) == snapshot.path


def test_a_snapshot_that_was_torn_or_edited_is_made_again(tmp_path):
    whole = take(tmp_path)
    (whole.path / "repghost" / "trial.py").write_text("")
    (whole.path / "repghost" / "run.py").unlink()
    assert take(tmp_path) == whole
    assert (whole.path / "repghost" / "trial.py").read_text()
    assert [path.name for path in (tmp_path / "code").iterdir()] == [whole.digest]


def test_what_jobs_leave_in_a_snapshot_does_not_break_it(tmp_path):
    snapshot = take(tmp_path)
    python(snapshot.path, "-c", "import repghost.lock", PYTHONDONTWRITEBYTECODE="")
    inode = snapshot.path.stat().st_ino
    assert list(snapshot.path.rglob("*.pyc"))
    assert take(tmp_path) == snapshot and snapshot.path.stat().st_ino == inode


def test_a_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(path: Path, _: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_bytes", full)
        take(tmp_path)
    assert listed(tmp_path) == [] and not list((tmp_path / "code").iterdir())
    assert take(tmp_path) == listed(tmp_path)[0]


def test_sweeps_that_start_at_once_share_one_whole_snapshot(tmp_path):
    found: list[Snapshot] = []
    threads = [threading.Thread(target=lambda: found.append(take(tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(found)) == 1
    assert [path.name for path in (tmp_path / "code").iterdir()] == [found[0].digest]
