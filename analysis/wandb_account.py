"""The user's W&B account, as the commands need it that talk to W&B's interface."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repghost.tracking.wandb_run import environment, has_account

TIMEOUT_S = 60


def require_account() -> None:
    """Refuse to go on where no account is set up.

    Raises:
        ValueError: there is none; it is said how to get one.
    """
    if not has_account():
        raise ValueError(
            "no W&B account: set WANDB_API_KEY, or run `wandb login`, then run it again"
        )


@contextmanager
def signed_in(folder: Path) -> Iterator[Any]:
    """Yield W&B's interface; W&B's own files lie below `folder`.

    Raises:
        ValueError: W&B raised an error; its words are kept.
    """
    os.environ.update(environment(folder))
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        yield wandb.Api(timeout=TIMEOUT_S)
    except (wandb.errors.Error, WandbApiFailedError) as error:
        raise ValueError(f"W&B: {' '.join(str(error).split())}") from error
