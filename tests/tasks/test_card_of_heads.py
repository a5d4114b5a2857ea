"""The card of what reads: the hub's name of its task, its classes or labels, and code that tells what it was told."""

import io
import re
from ast import literal_eval
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from tasks import kinds
from tasks.files import sha256
from tasks.objectives import classify
from tasks.stages.package import Package
from tasks.versions.card import write_card
from tests import encoders, tiny
from tests.tasks.test_pooled import COLUMNS, told, trained

pytestmark = pytest.mark.slow  # it loads torch
METRICS = {"rows": 4, "parent": {}, "tuned": {"valid": 1.0}}
INTERVALS = {"parent": {}, "tuned": {"valid": [0.9, 1.0]}, "confidence": 0.95}


def card_of(folder: Path, base: Path) -> ModelCard:
    """The card of what lies in `folder`, which has the parent's tokenizer beside it, as a package has."""
    classify.load_tokenizer(base).tokenizer.save_pretrained(folder)
    facts = {
        "parts": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "base_sha256": "b" * 64,
        "template_sha256": None,
        "tuner": {"kind": "full"},
        "divergence": 0.0,
    }
    source = {"card_name": str(base), "license": "apache-2.0"}
    write_card(Package(title="Things", datasets=["things"]), source, METRICS, INTERVALS, facts, folder / "README.md")
    return ModelCard.load(folder / "README.md")


def run(card: ModelCard, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the code in a card prints, run in the folder of the package, of the text of `told`'s first row."""
    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code.replace('"A text."', '"big a red apple"'), "card", "exec"), {})
    return printed.getvalue().splitlines()


@pytest.mark.parametrize("is_encoder", [True, False])
def test_the_code_in_a_classifiers_card_says_the_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_encoder: bool
) -> None:
    base = (encoders if is_encoder else tiny).make_base(tmp_path / "base")
    folder = trained(base, tmp_path / "trained", {"kind": "full"} if is_encoder else tiny.LORA)
    right = told(base, folder)[0]["probabilities"]
    card = card_of(folder, base)
    assert card.data.pipeline_tag == "text-classification" and "| mood | cold, warm |" in card.text
    assert "chat template" not in card.text and "Decode greedily" not in card.text
    printed = run(card, folder, monkeypatch)
    for column, line in zip(COLUMNS, printed, strict=True):
        name, _, shares = line.partition(" ")
        assert name == column and literal_eval(shares) == pytest.approx(right[column], abs=1e-4)


def test_the_code_in_a_taggers_card_says_the_likeliest_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import tuners
    from tasks.models import tagger
    from tasks.objectives import tag

    base = encoders.make_base(tmp_path / "base")
    settings = kinds.load("tasks.tuners", "full").Params(kind="full")
    body = tuners.of(settings).attach(settings, tag.parent(base, {}))
    model, folder = tagger.Tagger(body, ["SIZE", "THING"], "first"), tmp_path / "trained"
    folder.mkdir()
    tuners.save(settings, body, base, folder)
    tag.save_head(model, folder)
    card = card_of(folder, base)
    assert card.data.pipeline_tag == "token-classification" and "| entities | SIZE, THING |" in card.text
    reader = tag.load_tokenizer(base)
    shares = tag.log_probabilities(
        model.eval(), reader, [{"messages": [{"role": "user", "content": "big a red apple"}]}]
    )[0].exp()
    lines = [line.split() for line in run(card, folder, monkeypatch)[1:-1]]
    assert [tag_ for _, tag_, _ in lines] == [model.tags[place] for place in shares.argmax(1)]
    assert [float(p) for _, _, p in lines] == pytest.approx(shares.max(1).values.tolist(), abs=1e-5)


def test_the_code_in_the_card_of_what_tells_numbers_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from tasks import tuners
    from tasks.objectives import regress
    from tasks.weights import tuned

    base = encoders.make_base(tmp_path / "base")
    settings, params = kinds.load("tasks.tuners", "full").Params(kind="full"), regress.Params(kind="regress")
    body = tuners.of(settings).attach(settings, regress.parent(base, {}))
    model = regress.with_head(params, body, regress.processor(params, base, encoders.scored_rows(0, 16)))
    folder = tmp_path / "trained"
    folder.mkdir()
    tuners.save(settings, body, base, folder)
    regress.save_head(model, folder)
    card = card_of(folder, base)
    assert card.data.pipeline_tag == "text-classification" and "| weight | 105.25 | " in card.text
    reader = regress.load_tokenizer(base)
    told_ = regress.predict(tuned.load(base, folder), reader, [reader.encode("big a red apple")])[0]["text"]
    printed = dict(line.split() for line in run(card, folder, monkeypatch))
    assert {column: float(value) for column, value in printed.items()} == pytest.approx(json.loads(told_), rel=1e-4)


@pytest.mark.parametrize("is_encoder", [True, False])
def test_the_code_in_the_card_of_a_reward_model_says_its_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_encoder: bool
) -> None:
    from tasks import tuners
    from tasks.models.reward import Rewarder
    from tasks.objectives import reward
    from tasks.weights import tuned

    base = (encoders if is_encoder else tiny).make_base(tmp_path / "base")
    settings, params = kinds.load("tasks.tuners", "full").Params(kind="full"), reward.Params(kind="reward", ensemble=2)
    body = tuners.of(settings).attach(settings, reward.parent(base, {"dtype": torch.float32}))
    model = reward.with_head(params, body, reward.processor(params, base, []))
    folder = tmp_path / "trained"
    folder.mkdir()
    tuners.save(settings, body, base, folder)
    reward.save_head(model, folder)
    card = card_of(folder, base)
    assert card.data.pipeline_tag == "text-classification" and "with each of 2 heads" in card.text
    question = {"id": "", "messages": [{"role": "user", "content": "A question."}], "answer": "", "row": {}}
    (said,) = Rewarder(tuned.load(base, folder), tuned.tokenizer(base, folder)).score([question], ["An answer."])
    (line,) = run(card, folder, monkeypatch)
    assert [float(number) for number in line.split()] == pytest.approx([said.mean, said.spread], abs=1e-4)
