"""A move of aliases that is kept in the registry is the same when it is read back, and fits there."""

from tasks.records import decisions
from tasks.versions import alias_moves
from tests.tasks.serving import TASK


def test_a_move_is_the_same_when_it_is_read_back() -> None:
    decision = decisions.Decision(
        TASK, "canary", "promoted", ("a — ü", "b"), {"n": 1.5, "version": "2"}, 1700000000.123456
    )
    move = alias_moves.Move(
        TASK,
        "2",
        (("previous", "1"), ("challenger", None)),
        {"rolled_back": None, "canary": "x"},
        decision,
        {"champion": "1"},
        True,
        1.5,
    )
    assert alias_moves.decode(alias_moves.encode(move)) == move
    long = alias_moves.Move(
        TASK,
        "2",
        (),
        {"canary_reasons": "w" * 9000},
        decisions.Decision(TASK, "canary", "promoted", ("w" * 9000,) * 4, {}),
    )
    assert len(alias_moves.encode(long)) < 5000  # what PostgreSQL keeps of a registered model's tag
