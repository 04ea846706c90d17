"""Which code, which libraries, which machine: what a number has to carry."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "timm", "MNN", "onnx", "optuna", "hydra-core", "submitit", "wandb")


@cache
def commit() -> str:
    """Return the git commit of this code, "+dirty" where files differ from it, or "unknown"."""
    found = _git("rev-parse", "--short=12", "HEAD")
    if not found:
        return "unknown"
    return found + ("+dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a number."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
