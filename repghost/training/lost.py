"""Why a training of several processes cannot go on."""


class RankLost(Exception):
    """Another process of the training died or fell silent: the machine's fault, to be run again."""


class RankFailed(Exception):
    """The code of another process of the training failed; the message says of which, and how.

    `errno` is the error number where the system refused it something, such as a full disk.
    """

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.errno = errno
