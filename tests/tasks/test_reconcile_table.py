"""Whatever the registry wants and the servers have loaded, only what can be asked is routed, and a second step changes
nothing.
"""

from hypothesis import given
from hypothesis import strategies as st

from tasks.serve import routes, state
from tasks.serve.reconcile.table import plan, table_for
from tasks.serve.slots import Slot
from tasks.versions.registry import Model, Version
from tests.tasks import serving
from tests.tasks.serving import TASK

NUMBERS = st.integers(1, 4).map(str)


def tags(verified: bool, canary: str) -> dict[str, str]:
    is_open = {"canary": "open", "canary_mode": canary, "canary_share": "0.2"} if canary else {}
    return {"base_sha256": serving.BASE, **({"parity": "1.0"} if verified else {}), **is_open}


VERSION = st.builds(
    lambda number, tags: Version(TASK, number, f"hash{number}", "run", tags),
    NUMBERS,
    st.builds(tags, st.booleans(), st.sampled_from(["", "share", "shadow"])),
)
ALIASES = st.dictionaries(st.sampled_from(routes.ALIASES), VERSION)


@given(ALIASES, ALIASES, st.sets(NUMBERS), st.booleans(), st.booleans())
def test_whatever_is_wanted_only_what_can_be_asked_is_routed_and_the_step_is_idempotent(
    before: dict, after: dict, loaded: set, healthy: bool, verified: bool
) -> None:
    slot = Slot(
        "a",
        state.State(str(state.base_folder(serving.BASE)), "127.0.0.1", 1, verified=verified),
        healthy,
        frozenset(f"{TASK}@{number}" for number in loaded),
    )
    old = routes.Table()
    for aliases in (before, after, after):
        versions = {version.version: version for version in aliases.values()}
        models = {TASK: Model(TASK, {alias: aliases[alias].version for alias in aliases}, {}, versions)}
        planned = plan(models, [slot], old)
        urls = {name: host.url for name, host in planned.hosts.items()}
        alive = {(target.model, target.url) for task in old.tasks.values() for target in task.targets.values()}
        table = table_for(old, models, [TASK], urls, alive)
        for task in table.tasks.values():
            assert all(target.model in urls or (target.model, target.url) in alive for target in task.targets.values())
            assert task.canary == "off" or {"champion", "challenger"} <= task.targets.keys()
        assert (table is old) or table.revision == old.revision + 1
        champion_before = old.tasks.get(TASK, routes.Task()).targets.get("champion")
        if champion_before and "champion" in aliases:
            assert "champion" in table.tasks[TASK].targets  # a champion is never lost to one that is not there yet
        again = table_for(table, models, [TASK], urls, alive)
        assert again == table
        old = table
