"""Whatever the registry wants and the servers have loaded, only what can be asked is routed, and a second step changes
nothing.
"""

from hypothesis import given
from hypothesis import strategies as st

from tasks.serve import routes, state
from tasks.serve.reconcile.desired import Desired, Wanted
from tasks.serve.reconcile.table import plan, wanted_table
from tasks.serve.slots import Slot
from tests.tasks import serving
from tests.tasks.serving import TASK

NUMBERS = st.integers(1, 4).map(str)
ONE = st.builds(
    lambda number, verified, canary: Wanted(
        TASK, number, f"hash{number}", serving.BASE, verified, False, canary, 0.2 if canary else 0.0
    ),
    NUMBERS,
    st.booleans(),
    st.sampled_from(["", "share", "shadow"]),
)
ALIASES = st.dictionaries(st.sampled_from(routes.ALIASES), ONE)


@given(ALIASES, ALIASES, st.sets(NUMBERS), st.booleans(), st.booleans())
def test_whatever_is_wanted_only_what_can_be_asked_is_routed_and_the_step_is_idempotent(
    before: dict, after: dict, loaded: set, healthy: bool, verified: bool
) -> None:
    slot = Slot(
        "a",
        state.State(str(state.FOLDER / state.base_folder(serving.BASE)), "127.0.0.1", 1, verified=verified),
        healthy,
        frozenset(f"{TASK}@{number}" for number in loaded),
    )
    old = routes.Table()
    for aliases in (before, after, after):
        desired = {TASK: Desired(aliases)}
        planned = plan(desired, [slot], old)
        homes = {model: found.url for model, found in planned.homes.items()}
        alive = {(target.model, target.url) for task in old.tasks.values() for target in task.targets.values()}
        table = wanted_table(old, desired, [TASK], homes, alive)
        for task in table.tasks.values():
            assert all(target.model in homes or (target.model, target.url) in alive for target in task.targets.values())
            assert task.canary == "off" or {"champion", "challenger"} <= task.targets.keys()
        assert (table is old) or table.revision == old.revision + 1
        champion_before = old.tasks.get(TASK, routes.Task()).targets.get("champion")
        if champion_before and "champion" in aliases:
            assert "champion" in table.tasks[TASK].targets  # a champion is never lost to one that is not there yet
        again = wanted_table(table, desired, [TASK], homes, alive)
        assert again == table
        old = table
