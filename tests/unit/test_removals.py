from argus_grpc.store.removals import Removals


def test_a_removal_that_was_begun_in_vain_is_not_taken_for_done() -> None:
    removals = Removals(through=2)
    removals.begin(10)
    # Its transaction failed; a later one removes less.
    removals.begin(4)
    removals.end(4)
    assert (removals.through, removals.begun_through) == (4, 10)


def test_what_is_gone_never_becomes_less() -> None:
    removals = Removals(through=5)
    removals.end(-1)
    assert removals.through == 5
