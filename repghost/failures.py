"""Why a stage of a run failed: in a line, and whether the machine is to blame for it."""

import errno
import shutil
from pathlib import Path

from repghost.latency.devices.contract import DeviceError
from repghost.latency.queue.database import StoreError
from repghost.training.lost import RankFailed, RankLost

ALMOST_NOTHING = 1 << 20  # bytes; with less free space a failed write is no surprise
MACHINES_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


def is_of_the_machine(error: Exception, outputs: Path) -> bool:
    """Whether the place where it ran is to blame and not the variant: another try may do."""
    if isinstance(error, StoreError | RankLost) or getattr(error, "errno", None) in MACHINES_ERRORS:
        return True
    return shutil.disk_usage(outputs).free < ALMOST_NOTHING  # whatever it was that broke first


def reason_of(error: Exception) -> str:
    """Say a failure in a line: what the user can mend without Python's names around it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or error.strerror})"
    if isinstance(error, ValueError | DeviceError | RankLost | RankFailed):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return f"out of memory ({error}); a smaller recipe.batch_size, or a larger machine"
    return f"{type(error).__name__}: {error}"
