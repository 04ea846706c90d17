"""Cells of results.csv."""

from repghost.sweep.results import BETWEEN_FLAGS, joined


def test_joined_flags_can_be_split_again() -> None:
    cell = joined(["the screen is on", "busy (at most; in 7 of 8 blocks)"])
    assert cell.split(BETWEEN_FLAGS) == ["the screen is on", "busy (at most, in 7 of 8 blocks)"]
