"""What a device said before each block, in few words."""

from repghost.latency.flags import Flags

BUSY = "another process used {} % of core 0"


def test_a_flag_is_said_once_with_its_highest_reading_and_how_often_it_was_raised() -> None:
    flags = Flags()
    for said in ([BUSY.format(9)], [], [BUSY.format(100), "the screen is on"], [BUSY.format(45)]):
        flags.add(said)
    assert flags.words() == (
        "another process used 100 % of core 0 (at most, in 3 of 4 blocks)",
        "the screen is on (in 1 of 4 blocks)",
    )


def test_what_is_said_of_two_cores_are_two_flags() -> None:
    flags = Flags()
    flags.add([BUSY.format(9), "another process used 9 % of core 1"])
    assert flags.words() == (BUSY.format(9), "another process used 9 % of core 1")


def test_without_flags_there_is_nothing_to_say() -> None:
    flags = Flags()
    flags.add([])
    assert flags.words() == ()
