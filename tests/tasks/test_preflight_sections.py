"""What a row leaves out is written into params.yaml for DVC to find; all else in the file stays, character by
character.
"""

import difflib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tasks.errors import ParamsError
from tasks.params import Model
from tasks.preflight.sections import complete
from tasks.stage import load_yaml
from tests import tiny
from tests.examples import examples

SECTIONS = {name: {} for name in Model.model_fields if name not in ("parent", "dataset", "released_as")}
SECTIONS |= {"train": tiny.KINDS}
BLOCK = """# Mine.
datasets:   # where rows come from
    tickets:
        ingest: {source:   data/mine.csv}   # a file
        prepare:
            user: "{{ text }}"
            answer: >-
                {{ intent }}

    # the next one
    others:
        validate: {max_quarantined_share: 0.1}
        ingest:
            source: 'data/others'
        prepare: {user: "{{ text }}", answer: [intent]}
models:
    mine: {parent: smollm2, dataset: tickets}
    # a model of its own
    more:
        dataset: others
        parent: mine

        # a comment of this row
    last:
        parent: mine
        dataset: tickets
        train: {seed: 8}   # small
# the end"""


def completed(text: str, folder: Path) -> tuple[str, list[str]]:
    file = folder / "params.yaml"
    file.write_bytes(text.encode())
    completion = complete(file)
    assert file.read_bytes().decode() == text, "nothing is written before all is checked"
    completion.write()
    return file.read_bytes().decode(), list(completion.lines)


def test_sections_are_written_and_all_else_stays(tmp_path: Path) -> None:
    new, lines = completed(BLOCK, tmp_path)
    changes = [line for line in difflib.ndiff(BLOCK.splitlines(), new.splitlines()) if not line.startswith(("  ", "?"))]
    kinds = "objective: {kind: sft}, tuner: {kind: lora}"
    written = {name: f"{{{kinds}}}" if name == "train" else "{}" for name in SECTIONS}
    flow = ", ".join(f"{name}: {value}" for name, value in (written | {"probe": "{encoder: smollm2}"}).items())
    block = [f"+         {name}: {value}" for name, value in (written | {"probe": "{encoder: mine}"}).items()]
    assert changes == [
        "+             shape: table",
        "+         validate: {}",
        '-         prepare: {user: "{{ text }}", answer: [intent]}',
        '+         prepare: {user: "{{ text }}", answer: [intent], shape: table}',
        "-     mine: {parent: smollm2, dataset: tickets}",
        f"+     mine: {{parent: smollm2, dataset: tickets, {flow}}}",
        *block,
        "-         train: {seed: 8}   # small",
        f"+         train: {{seed: 8, {kinds}}}   # small",
        *[line for line in block if "train" not in line],
    ]
    assert lines[0].endswith("params.yaml: wrote `shape: table` in datasets.tickets.prepare, because there was none")
    assert [line.split(" in ")[1].split(",")[0] for line in lines] == [
        "datasets.tickets.prepare",
        "datasets.others.prepare",
        "datasets.tickets",
        "models.mine",
        "models.more",
        "models.last",
        "models.last.train",
    ]
    assert completed(new, tmp_path) == (new, [])


LAYOUTS = {
    "no end of line": "models:\n  mine:\n    parent: base\n    dataset: data",
    "windows": "models:\r\n  mine:\r\n    parent: base\r\n    dataset: data\r\nservers: {}\r\n",
    "json": json.dumps({"models": {"mine": {"parent": "base", "dataset": "data"}}}, indent=1),
    "flow over lines": "models: {mine: {parent: base,\n  dataset: data # mine\n  }}\n",
    "trailing comma": "models: {mine: {parent: base, dataset: data,},}\n",
    "literal": (
        "models:\n  mine:\n    parent: base\n    dataset: |-\n      data\n      # not a comment\n\n\nservers: {}\n"
    ),
    "empty section": "models:\n  mine:\n    parent: base\n    dataset:\n  # next\nservers: {}\n",
    "quoted keys": "models:\n  'mine':\n    'parent': base\n    \"dataset\": data\n",
    "alias": "models:\n  mine: &row\n    parent: base\n    dataset: data\n  more: *row\n",
    "merge": "models:\n  mine: &row\n    parent: base\n    dataset: data\n  more:\n    <<: *row\n    dataset: other\n",
    "words of the world": "models:\n  # größer 日本\n  mine:\n    parent: 'ünï'\n    dataset: data\n",
    "end of document": "models:\n  mine:\n    parent: base\n    dataset: data\n...\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_reads_as_before_and_has_the_sections(name: str, tmp_path: Path) -> None:
    before = LAYOUTS[name]
    new, lines = completed(before, tmp_path)
    (tmp_path / "before.yaml").write_bytes(before.encode())
    old, value = load_yaml(tmp_path / "before.yaml"), load_yaml(tmp_path / "params.yaml")
    for key, row in old["models"].items():
        assert value["models"][key] == row | SECTIONS | {"probe": {"encoder": row["parent"]}}
    assert lines and ("\r\n" in before) == ("\r\n" in new) and "\n\n\n\n" not in new
    assert new.count("\r\n") in (0, new.count("\n"))
    if name == "json":
        assert json.loads(new) == value
    assert completed(new, tmp_path) == (new, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "models: [",
        "models: 3\n",
        "models: {mine: }\n",
        "models: {mine: 3}\n",
        "- a\n",
        "datasets: {d: {ingest: [~/x]}}\n",
    ],
)
def test_what_is_no_table_of_rows_is_left_to_the_check(text: str, tmp_path: Path) -> None:
    try:
        assert completed(text, tmp_path)[0].startswith(text.rstrip("\n}"))
    except ParamsError:
        assert (tmp_path / "params.yaml").read_text() == text


def test_a_home_is_spelt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/data/o'brien")
    text = (
        "datasets:\n  d:\n    ingest:\n      source: ~/tickets # mine\n    validate: {}\n    "
        "prepare: {shape: table, user: a, answer: b}\n"
    )
    new, lines = completed(text, tmp_path)
    assert new == text.replace("~/tickets", '"/data/o\'brien/tickets"')
    assert lines == [
        f"{tmp_path}/params.yaml: wrote /data/o'brien/tickets for ~/tickets in datasets.d.ingest.source, because DVC "
        "does not expand `~`"
        ""
    ]


def test_a_link_stays_a_link_and_its_mode_is_kept(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(LAYOUTS["windows"])
    (tmp_path / "real.yaml").chmod(0o600)
    (tmp_path / "params.yaml").symlink_to("real.yaml")
    complete(tmp_path / "params.yaml").write()
    assert (tmp_path / "params.yaml").is_symlink() and (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o600


rows = st.fixed_dictionaries(
    {"parent": st.text("ab #'\"é", max_size=6)}, optional={name: st.just({}) for name in SECTIONS}
)


@examples(25)
@given(st.dictionaries(st.text("abc-é", min_size=1, max_size=4), rows, max_size=3), st.booleans())
def test_whatever_the_rows_the_sections_are_added_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, models: dict, is_json: bool
) -> None:
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump({"models": models, "servers": {}}, text)
    before = json.dumps({"models": models}, indent=2) if is_json else text.getvalue()
    new, _ = completed(before, tmp_path_factory.mktemp("rows"))
    shared = next((row["parent"] for row in yaml.load(before)["models"].values() if "probe" in row), "")  # by an alias
    encoders = {name: row["parent"] if is_json or "probe" not in row else shared for name, row in models.items()}
    assert yaml.load(new)["models"] == {
        name: SECTIONS | row | {"train": row.get("train", {}) | tiny.KINDS, "probe": {"encoder": encoders[name]}}
        for name, row in models.items()
    }


LABELS = [
    ("few values", ["blue", "red", "blue", "red"], ["intent"]),
    ("as many values as rows", ["blue", "red", "green", "black"], []),
    ("one value", ["blue"] * 4, []),
    (
        "long texts that recur",
        ["It is on its way, and will be there in the course of tomorrow."] * 2
        + ["No, it cannot be had any more, we are sorry."] * 2,
        [],
    ),
]


@pytest.mark.parametrize(("values", "labels"), [row[1:] for row in LABELS], ids=[row[0] for row in LABELS])
def test_the_labels_of_an_answer_are_found_and_written_and_a_section_that_is_there_stays(
    values: list[str], labels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(
        "text,intent\n" + "".join(f'question {i},"{value}"\n' for i, value in enumerate(values))
    )
    row = (
        'datasets:\n  rows: {ingest: {source: mine.csv}, prepare: {user: "{{ text }}", answer: "{{ intent }}"}}\n'
        "models:\n"
    )
    new, lines = completed(
        f"{row}  mine: {{parent: base, dataset: rows}}\n  own: {{parent: base, dataset: rows, evaluate: {{}}}}\n",
        tmp_path,
    )
    models = YAML(typ="safe").load(new)["models"]
    assert models["mine"]["evaluate"] == ({"labels": labels} if labels else {}) and models["own"]["evaluate"] == {}
    assert any("`evaluate: {labels: [" in line for line in lines) == bool(labels)
