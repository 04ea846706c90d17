"""What is done with W&B's library: one run opened, fed and closed; any of it may raise or wait."""

import netrc
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from repghost.tracking.spec import TrackingSpec

ALONE = ("offline", "disabled", "dryrun")  # modes that need no server
REFUSED = (401, 403)
UNSENT = "unsent"  # a file in an online run's folder: its end was not sent


@dataclass(frozen=True)
class Label:
    """What a W&B run is called, and the settings that belong to it."""

    id: str
    group: str
    name: str
    job_type: str
    config: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


def open_run(spec: TrackingSpec, label: Label, folder: Path) -> tuple[Any, str]:
    """Return W&B's run, and what the user should know: that it is offline though it should not be.

    Raises:
        Exception: whatever W&B raises.
    """
    os.environ.update(environment(folder))
    mode = _mode()
    if mode in ALONE:
        return _init(spec, label, folder, mode), ""
    if away := _away(spec.patience_s):
        return _init(spec, label, folder, "offline"), _notice(away)
    return _init(spec, label, folder, mode), ""


def _notice(why: str) -> str:
    return f"W&B cannot be reached ({' '.join(why.split())}): this run is kept offline"


def _away(patience_s: float) -> str:
    """Return why W&B's server does not let us in, "" where it does.

    Asked before `wandb.init`, which, once it waits in vain, holds the run's id until the process
    ends: the run could not be opened offline any more.
    """
    import requests  # W&B's library uses it too

    key = os.environ.get("WANDB_API_KEY")
    asked = {"query": "query Viewer { viewer { id } }"}
    auth = ("api", key) if key else None  # None: that of ~/.netrc
    try:
        answer = requests.post(f"{server()}/graphql", json=asked, auth=auth, timeout=patience_s)
    except (requests.RequestException, ValueError) as error:
        return str(error)
    return f"{answer.status_code} {answer.reason}" if answer.status_code in REFUSED else ""


def _init(spec: TrackingSpec, label: Label, folder: Path, mode: str) -> Any:
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,  # a remote's URL may hold a token; the commit is in the config
        init_timeout=spec.patience_s,
        finish_timeout=spec.patience_s,
        finish_timeout_raises=True,
    )
    return wandb.init(
        id=label.id,
        name=label.name,
        group=label.group,
        job_type=label.job_type,
        tags=[*spec.tags, *label.tags],
        project=spec.project,
        entity=spec.entity,
        config=label.config,
        dir=str(folder),
        mode=mode,  # type: ignore[arg-type]
        resume="allow",
        reinit="create_new",  # the runs of a cohort are open in one process
        settings=settings,
    )


def close_run(run: Any, exit_code: int) -> None:
    """Close the run; where not all of it was sent, leave a note of that in its folder.

    Raises:
        TimeoutError: the rest could not be sent in time; it is on the disk.
    """
    folder = Path(run.settings.sync_dir)
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        (folder / UNSENT).touch()
        raise


def log_table(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], run: Any) -> None:
    """Log a table in a step of its own."""
    import wandb

    table = wandb.Table(columns=list(columns), data=list(rows), allow_mixed_types=True)
    run.log({name: table}, commit=True)


def log_figure(name: str, figure: dict[str, Any], run: Any) -> None:
    """Log a figure of plotly, given as its data and layout, in a step of its own."""
    import wandb
    from plotly.graph_objects import Figure

    known = {part: figure[part] for part in ("data", "layout") if part in figure}
    run.log({name: wandb.Plotly(Figure(known, skip_invalid=True))}, commit=True)


def copy_in(files: Sequence[Path], below: str, run: Any) -> None:
    """Keep copies of those files that are there: links would break when a folder is moved.

    They lie in a folder of the run's: W&B writes a `config.yaml` of its own.
    """
    for path in (path for path in files if path.is_file()):
        _save(f"{below}/{path.name}", partial(shutil.copyfile, path), run)


def write_in(name: str, text: str, run: Any) -> None:
    """Keep a file of this text."""
    _save(name, lambda place: place.write_text(text, encoding="utf-8"), run)


def _save(name: str, make: Callable[[Path], object], run: Any) -> None:
    place = Path(run.dir) / name
    place.parent.mkdir(parents=True, exist_ok=True)
    make(place)
    run.save(str(place), base_path=run.dir, policy="now")


def log_artifact(name: str, files: Sequence[Path], run: Any) -> None:
    """Log those files that are there as an artifact of type "model"."""
    import wandb

    artifact = wandb.Artifact(name, type="model")
    for path in (path for path in files if path.is_file()):
        artifact.add_file(str(path), name=path.name)
    run.log_artifact(artifact)


def environment(folder: Path) -> dict[str, str]:
    """Keep W&B's files below the run's folder, its data on disk within a second, its reports off.

    With its reports on (OpenTelemetry), a process waits up to 12 s at its end for a server that is
    not there.
    """
    places = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
    folder.mkdir(parents=True, exist_ok=True)
    return {place: str(folder.resolve()) for place in places} | {
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }


def _mode() -> str:
    """Return the mode that the user set, or online where an account is set up, or offline."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    return "online" if has_account() else "offline"


def has_account() -> bool:
    """Whether W&B's key is in the environment, or in ~/.netrc as `wandb login` leaves it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = server().split("//")[-1]
    try:
        return netrc.netrc().authenticators(host.split("/")[0]) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def server() -> str:
    """Return the address of W&B's server."""
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
