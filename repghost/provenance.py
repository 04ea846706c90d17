"""Which code, which libraries, which machine: what a number has to carry."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "timm", "MNN", "onnx", "optuna", "hydra-core", "submitit", "wandb")
PACKAGE = Path(__file__).resolve().parent
STATED = PACKAGE.parent / "COMMIT"  # of a snapshot: git would answer for what is there today
GIT_S = 10.0
SHORT = 12  # digits of a commit


@cache
def commit() -> str:
    """Return the git commit of this code, "+dirty" where files differ from it, or "unknown".

    "+unknown" stands for "+dirty" where git did not say. A snapshot has the commit it is of.
    """
    if STATED.exists():
        return STATED.read_text().strip()
    found = git("rev-parse", "HEAD", "HEAD:./provenance.py")  # a repository that holds this file
    if not found:
        return "unknown"
    changes = git("status", "--porcelain", "--untracked-files=no")
    mark = "+unknown" if changes is None else "+dirty" if changes else ""
    return found[:SHORT] + mark


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a number."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def git(*arguments: str) -> str | None:
    """Return what git prints about the repository of this code, None where it cannot say."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=PACKAGE,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},  # reading must not stop a commit
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
