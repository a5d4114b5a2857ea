"""Files as others publish them train from eight lines of params.yaml, or are refused with the very words to write:
SST's and GLUE's tables between tabs, AG News' three columns, TREC's and fastText's lines.
"""

import json
import math
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.files import read_json, read_jsonl
from tasks.params import Dataset, Model, Params
from tasks.preflight import checks
from tasks.stages.ingest.__main__ import ingest
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.validate import validate
from tests import encoders, tiny

pytestmark = pytest.mark.slow  # transformers, which says what reads, loads torch
PLACES = "harbour mill orchard chapel quarry lighthouse tannery ferry market dam bridge kiln".split()
MAKERS = "weaver smith cooper baker mason sailor tanner miller potter carter".split()
GOOD, BAD = ("warms the heart", "never puts a foot wrong"), ("bores to tears", "forgets what it is about")
AG = "{ingest: {source: news.csv, header: false, columns: [label, title, text]}}"


def sentences(count: int) -> list[tuple[str, int]]:
    """Texts that hardly resemble each other, and whether they praise."""
    made = []
    for i in range(count):
        place, maker, other = PLACES[i % 12], MAKERS[i * 7 % 10], PLACES[(i * 5 + i // 12) % 12]
        said = (GOOD if i % 2 else BAD)[i // 2 % 2]
        made.append((f"the {maker} of the {place} {said} , near {other} no. {i * 37 % 1000}", i % 2))
    return made


def sst(header: str = "") -> str:
    """Some texts begin with a quote that is theirs."""
    quoted = [
        (f'" {text} " , he says' if i % 9 == 0 else text, label) for i, (text, label) in enumerate(sentences(120))
    ]
    return header + "".join(f"{text} \t{label}\n" for text, label in quoted)


def news(header: str = "") -> str:
    """Quotes are doubled, backslashes and entities stand as they are."""
    rows = [
        (1 + i % 4, text, f'""So it is"" in {text[::-1][:24]} &amp; on\\') for i, (text, _) in enumerate(sentences(120))
    ]
    return header + "".join(f'"{label}","{title}","{body}"\n' for label, title, body in rows)


def lines(*labels: str) -> str:
    return "".join(f"{labels[i % len(labels)]} Who is {text} ?\n" for i, (text, _) in enumerate(sentences(120)))


def ready(folder: Path, name: str, content: str, row: str) -> tuple[Params, Dataset, Model]:
    """The params of eight lines as they are completed, in `folder`, which is the current one."""
    base = encoders.make_base(folder / "base")
    (base / "source.json").unlink()
    (folder / name).write_text(content, encoding="utf-8")
    (folder / "params.yaml").write_text(
        f"bases:\n  small: {json.dumps({**tiny.base_row(base), 'folder': 'base'})}\n"
        f"datasets:\n  mine: {row}\nmodels:\n  m: {{parent: small, dataset: mine, train: {{max_length: 64}}}}\n"
    )
    params = checks.ready("m", lambda _: None)
    return params, params.datasets["mine"], params.models["m"]


def prepared(dataset: Dataset) -> Path:
    """What the stages make of it."""
    suites = Path("data/expectations/mine")
    ingest(dataset.ingest, Path("raw"))
    validate(
        dataset.validate_, Path("raw"), suites / "raw.json", Path("validated"), Path("docs"), Path("raw-report.json")
    )
    prepare(
        dataset.prepare, Path("validated"), suites / "prepared.json", Path("prepared"), Path("docs2"), Path("p.json")
    )
    return Path("prepared")


@pytest.mark.parametrize(
    ("name", "content", "row", "classes", "text"),
    [
        (
            "train.tsv",
            sst(),
            "{ingest: {source: train.tsv, header: false, columns: [text, label]}}",
            {"label": {"0", "1"}},
            '" the weaver of the harbour bores to tears',
        ),
        ("dev.tsv", sst("sentence\tlabel\n"), "{ingest: {source: dev.tsv}}", {"label": {"0", "1"}}, '" the weaver of'),
        ("news.csv", news(), AG, {"label": set("1234")}, '"So it is" in '),
        (
            "news.csv",
            news("Class Index,Title,Description\n"),
            "{ingest: {source: news.csv}, prepare: {user: '{{ Description }}', labels: [Class Index], "
            "class_names: {1: World, 2: Sports, 3: Business, 4: Sci/Tech}}}",
            {"Class Index": {"World", "Sports", "Business", "Sci/Tech"}},
            "&amp; on\\",
        ),
        (
            "questions.txt",
            lines("LOC:city", "NUM:date", "HUM:ind"),
            "{ingest: {source: questions.txt}}",
            {"label": {"LOC:city", "NUM:date", "HUM:ind"}},
            "Who is the ",
        ),
        (
            "lines.txt",
            lines("__label__sea", "__label__land"),
            "{ingest: {source: lines.txt}}",
            {"label": {"sea", "land"}},
            "Who is the ",
        ),
    ],
)
def test_a_file_is_told_and_prepared(
    name: str, content: str, row: str, classes: dict, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, dataset, model = ready(tmp_path, name, content, row)
    made = prepared(dataset)
    known = read_json(made / "format.json")["classes"]
    assert {column: set(shares) for column, shares in known.items()} == classes
    assert model.evaluate.labels == list(classes) and model.train.objective.kind == "classify"
    every = [row for split in ("train", "validation", "test") for row in read_jsonl(made / f"{split}.jsonl")]
    assert len(every) > 60 and any(text in row["messages"][0]["content"] for row in every)


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("train.tsv", sst(), "{ingest: {source: train.tsv, header: false, columns: [text, label]}}"),
        ("news.csv", news(), AG),
    ],
)
def test_it_trains_and_is_measured(
    name: str, content: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.stages.base import base
    from tasks.stages.baseline import baseline
    from tasks.stages.evaluate.__main__ import contest
    from tasks.stages.predict.__main__ import predict
    from tasks.stages.train.__main__ import train

    monkeypatch.chdir(tmp_path)
    params, dataset, model = ready(tmp_path, name, content, row)
    made, weights = prepared(dataset), Path("models/small/weights")
    base(params.bases["small"], weights)
    few = model.train.model_copy(update={"num_train_epochs": 1, "eval_steps": 0.5})
    train(few, weights, made, Path("checkpoints/m"), Path("trained"), Path("report"))
    baseline(model.predict, weights, made, Path("parent"))
    predict(model.predict, weights, Path("trained"), made, Path("tuned"))
    measured = model.evaluate.model_copy(update={"bootstrap_resamples": 100})
    contest(measured, made, {"parent": Path("parent"), "tuned": Path("tuned")}, Path("evaluated"))
    metrics = read_json(Path("evaluated/metrics.json"))
    assert metrics["tuned"]["valid"] == 1 and math.isfinite(metrics["tuned"]["label_log_loss"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.tsv", sst(), "write ingest: {header: false, columns: [text, label]}, with names for your columns"),
        (
            "news.csv",
            news(),
            "write ingest: {header: false, columns: [label, text_1, text_2]}, with names for your columns",
        ),
        (
            "stars.csv",
            "stars,text\n" + "".join(f'{1 + i % 5},"{text}"\n' for i, (text, _) in enumerate(sentences(60))),
            "may be labelled or scored: write prepare: {shape: labelled,",
        ),
        (
            "toxic.csv",
            "comment,toxic,threat\n"
            + "".join(f'"{t}",{i % 2},{i % 3 // 2}\n' for i, (t, _) in enumerate(sentences(60))),
            'write prepare: {shape: labelled, user: "{{ comment }}", labels: [toxic, threat]}, with those that are.',
        ),
        (
            "odd.tsv",
            sst() + "one cell alone, with words\n",
            "has no shape, and none can be inferred: odd.tsv, line 121: has a different number of cells than",
        ),
    ],
)
def test_where_a_person_must_say_more_the_words_are_there(
    name: str, content: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = ", header: false, columns: [text, label]" if name == "odd.tsv" else ""
    with pytest.raises(ParamsError) as refused:
        ready(tmp_path, name, content, f"{{ingest: {{source: {name}{header}}}}}")
    assert words in str(refused.value)
