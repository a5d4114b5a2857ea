"""What the demo adds to params.yaml for preferences is a chain that the shipped models can be followed by."""

from pathlib import Path

from flows import demo_preferences
from tasks import params as settings
from tasks.preflight import retests
from tasks.retrain import chain
from tasks.retrain.lineage import Amounts
from tasks.section import parse
from tasks.stage import load_yaml
from tests.house.project import ROOT


def test_the_demos_model_is_released_as_the_shipped_one_once_there_are_pairs() -> None:
    value = load_yaml(Path(ROOT / "params.yaml"))
    demo_preferences.add(value, "triage", "support_tickets")
    params = parse(settings.Params, value, "")
    settings.check_rows(params)
    name = demo_preferences.MODEL
    assert params.task(name) == "triage" and params.labeller(name) == params.labeller("triage") == "triage_labels"
    assert chain.choose(params, "triage", Amounts(pairs=29)).model == "triage"
    assert chain.choose(params, "triage", Amounts(pairs=30)).model == name
    assert not list(retests.problems(params, name))
    assert params.predicted_columns("triage") == ("category", "intent", "priority")
