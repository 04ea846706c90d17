"""Words that several parts of the product say alike."""


def counted(count: int, thing: str) -> str:
    """Return "1 run", "2 runs", "10,000 runs"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
