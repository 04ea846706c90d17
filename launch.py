"""The command line: one run, or with -m a sweep. `python launch.py --help` shows the knobs."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

if TYPE_CHECKING:
    from repghost.settings import Settings

CONF = Path(__file__).resolve().parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Do one task in the foreground (with -m, Hydra calls the sweeper instead)."""
    from repghost.foreground import run_one
    from repghost.settings import settings_from
    from repghost.sweep.jobs.launchers import launcher_from
    from repghost.validation import validate

    try:
        settings, own = settings_from(config), HydraConfig.get()
        _refuse_sweep(own, settings)
        if settings.validates:
            sys.exit(validate(settings))
        sys.exit(run_one(settings, launcher_from(own.launcher).tasks_per_node))
    except Exception as error:  # before Hydra adds its own lines
        complain(error)


def _refuse_sweep(own: HydraConf, settings: "Settings") -> None:
    """Refuse what only a sweep heeds, rather than pass over it."""
    if own.sweeper.params or own.sweeper.variants:
        raise ValueError("this file of sweeps/ holds many variants: run it with -m")
    asked = {
        "plan": settings.plan,
        "detach": settings.detach,
        "n_trials": settings.n_trials,
        "sweep.refine": settings.sweep.refine,
        "hydra/launcher": own.launcher.get("kind") != "local",
    }
    for name in (name for name, is_set in asked.items() if is_set):
        raise ValueError(f"{name}: is for sweeps, also of one variant; add -m")


def complain(error: Exception) -> NoReturn:
    """Turn bad input into one clear line and exit code 2; what is our own mistake is raised."""
    from repghost.complaint import complaint

    line = complaint(error, CONF, sys.argv[1:])
    if line is None:
        raise error
    print(f"error: {line}", file=sys.stderr)
    sys.exit(2)


def guarded() -> None:
    """Run `main`, with errors and Ctrl-C said in a line."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us instead of being printed
    try:
        main()
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        complain(error)


if __name__ == "__main__":
    guarded()
