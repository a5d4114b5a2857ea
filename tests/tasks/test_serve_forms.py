"""Which server a version needs follows from its tuner, from deploy.serve, and from who else is served."""

import dataclasses
from pathlib import Path

import pytest

from tasks import kinds, tuners
from tasks.files import write_json
from tasks.section import Section
from tasks.serve import forms, state
from tasks.serve.forms import Form
from tasks.serve.params import Deploy
from tasks.versions.registry import Model, Version

CANNOT = "transformers"
BASE = Path("base")
SETTINGS = {
    "lora": ("adapter", "merged"),
    "full": ("merged",),
    "prefix": (CANNOT,),
    "prompt": (CANNOT,),
    "p_tuning": (CANNOT,),
    "bottleneck": (CANNOT,),
}


def settings_of(kind: str) -> Section:
    return kinds.load("tasks.tuners", kind).Params(kind=kind)


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_forms_follow_from_what_the_tuner_declares(kind: str) -> None:
    assert forms.possible(settings_of(kind)) == SETTINGS[kind]


def test_whatever_can_be_trained_can_be_served() -> None:
    assert all(forms.possible(settings_of(kind)) for kind in kinds.names("tasks.tuners"))


def version(name: str = "things", **tags: str) -> Version:
    return Version(name, "1", f"{name}-artifact", "run", {"base_sha256": "b" * 64, **tags})


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained folder of things@1, LoRA."""
    monkeypatch.chdir(tmp_path)
    return trained("things", "lora")


def trained(name: str, kind: str) -> Path:
    folder = state.adapter_folder(name, f"{name}-artifact")
    write_json(folder / tuners.FILE, settings_of(kind).model_dump())
    return folder


def models(*champions: Version) -> dict[str, Model]:
    """What the registry says where these are champions."""
    return {each.name: Model(each.name, {"champion": each.version}, {}, {each.version: each}) for each in champions}


@pytest.mark.parametrize(
    ("serve", "device", "form"),
    [
        ("auto", "cpu", "merged"),
        ("auto", "cuda", "adapter"),
        ("adapter", "cpu", "adapter"),
        ("merged", "cuda", "merged"),
    ],
)
def test_alone_on_a_cpu_weights_are_merged_and_on_a_gpu_they_are_not(
    kept: Path, monkeypatch: pytest.MonkeyPatch, serve: str, device: str, form: str
) -> None:
    monkeypatch.setattr("tasks.device.device", lambda: device)
    assert forms.choose(version(), kept, BASE, Deploy(serve=serve), {}) == form


@pytest.mark.parametrize(
    ("row", "kind", "tags", "form"),
    [
        ("other", "lora", {"parity": "1.0"}, "adapter"),
        ("other", "lora", {}, "merged"),  # not served
        ("other", "prompt", {"parity": "1.0"}, "merged"),  # on another server anyway
        ("other", "full", {"parity": "1.0"}, "merged"),
        ("other", "lora", {"parity": "1.0", "base_sha256": "c" * 64}, "merged"),
        ("things", "lora", {"parity": "1.0"}, "merged"),  # an older version of the same row
    ],
)
def test_adapters_are_for_rows_that_can_share_a_server(
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    row: str,
    kind: str,
    tags: dict[str, str],
    form: str,
) -> None:
    monkeypatch.setattr("tasks.device.device", lambda: "cpu")
    trained(row, kind)
    known = {"third": Model("third"), **models(version(row, **tags))}
    assert forms.choose(version(), kept, BASE, Deploy(), known) == form
    assert forms.is_as_configured(Form.MERGED, version(), kept, Deploy(), known) == (form == "merged")
    assert forms.is_as_configured(Form.ADAPTER, version(), kept, Deploy(), known)


@pytest.mark.parametrize(("kind", "form"), [("full", Form.MERGED), ("prompt", Form.TRANSFORMERS)])
def test_what_can_be_served_in_one_form_only_is_served_so(kept: Path, kind: str, form: Form) -> None:
    folder = trained("things", kind)
    for serve in ("auto", "adapter", "merged"):
        assert forms.choose(version(), folder, BASE, Deploy(serve=serve), {}) == form
        assert forms.is_as_configured(form, version(), folder, Deploy(serve=serve), {})
        assert not forms.is_as_configured(Form.ADAPTER, version(), folder, Deploy(serve=serve), {})


def test_an_adapter_of_a_higher_rank_than_the_server_takes_is_merged(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.device.device", lambda: "cuda")
    write_json(kept / tuners.FILE, {"kind": "lora", "r": 64})
    assert forms.choose(version(), kept, BASE, Deploy(), {}) == Form.MERGED
    assert forms.choose(version(), kept, BASE, Deploy(max_lora_rank=64), {}) == Form.ADAPTER


BOTH, MERGED, HOT = (Form.ADAPTER, Form.MERGED), (Form.MERGED,), (Form.ADAPTER,)
POOLS = (Form.TRANSFORMERS, Form.POOLING)
SETTLED = [  # deploy.serve, possible forms, others on the base, served as (None: new), on a CPU: the form
    ("auto", BOTH, False, None, True, "merged"),
    ("auto", BOTH, False, None, False, "adapter"),
    ("auto", BOTH, True, None, True, "adapter"),
    ("auto", BOTH, True, "merged", True, "adapter"),
    ("auto", BOTH, True, "adapter", True, "adapter"),
    ("auto", BOTH, False, "merged", True, "merged"),
    ("auto", BOTH, False, "merged", False, "merged"),
    ("auto", BOTH, False, "adapter", True, "adapter"),  # the others are gone: nobody is moved without need
    ("auto", MERGED, True, None, True, "merged"),
    ("auto", MERGED, True, "merged", True, "merged"),
    ("auto", (Form.TRANSFORMERS,), True, None, True, CANNOT),
    ("auto", HOT, False, None, True, "adapter"),
    ("merged", BOTH, True, "adapter", True, "merged"),
    ("adapter", BOTH, False, "merged", True, "adapter"),
    ("adapter", MERGED, True, None, True, "merged"),
    ("merged", (Form.TRANSFORMERS,), False, None, True, CANNOT),
    ("auto", POOLS, False, None, True, CANNOT),
    ("auto", POOLS, True, None, False, CANNOT),
    ("auto", POOLS, False, "pooling", True, CANNOT),
    ("pooling", POOLS, False, None, True, "pooling"),
    ("pooling", POOLS, True, CANNOT, True, "pooling"),
    ("merged", POOLS, False, None, True, CANNOT),
    ("pooling", BOTH, False, None, True, "merged"),
    ("pooling", (Form.TRANSFORMERS,), False, None, True, CANNOT),
]


@pytest.mark.parametrize(("serve", "possible", "company", "now", "on_cpu", "form"), SETTLED)
def test_the_form_is_settled_by_who_else_is_served(
    serve: str, possible: tuple[Form, ...], company: bool, now: str | None, on_cpu: bool, form: str
) -> None:
    assert forms.preferred(serve, possible, company, Form(now) if now else lambda: on_cpu) == form


def served(row: str, base: str, now: str, possible: tuple[Form, ...] = BOTH) -> forms.ServedChampion:
    return forms.ServedChampion(row, base, possible, Form(now))


@pytest.mark.parametrize(
    ("champions", "moves"),
    [
        ([], {}),
        ([served("a", "x", "merged")], {}),
        ([served("a", "x", "merged"), served("b", "x", "adapter")], {"a": "adapter"}),
        ([served("a", "x", "merged"), served("b", "x", "merged")], {"a": "adapter", "b": "adapter"}),
        ([served("a", "x", "merged"), served("b", "y", "adapter")], {}),
        ([served("a", "x", "merged"), served("b", "x", "merged", MERGED)], {}),
        ([served("a", "x", "merged"), served("b", "x", CANNOT, (Form.TRANSFORMERS,))], {}),
        ([served("a", "x", "adapter"), served("b", "x", "adapter")], {}),
        ([served("a", "x", "adapter")], {}),
        ([served("a", "x", "merged"), served("b", "y", "merged"), served("c", "y", "adapter")], {"b": "adapter"}),
        ([served("a", "x", "merged", MERGED), served("b", "x", "adapter")], {}),
    ],
)
def test_champions_that_can_share_a_server_do(champions: list[forms.ServedChampion], moves: dict[str, str]) -> None:
    assert forms.planned_moves(champions, "auto") == moves
    after = [dataclasses.replace(one, now=Form(moves.get(one.row, one.now))) for one in champions]
    assert forms.planned_moves(after, "auto") == {}, "who was moved stays"


def test_an_adapter_of_a_higher_rank_than_the_server_takes_is_no_company(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.device.device", lambda: "cpu")
    write_json(trained("other", "lora") / tuners.FILE, {"kind": "lora", "r": 64})
    other = models(version("other", parity="1.0"))
    assert forms.choose(version(), kept, BASE, Deploy(), other) == Form.MERGED
    assert forms.choose(version(), kept, BASE, Deploy(max_lora_rank=64), other) == Form.ADAPTER


@pytest.mark.parametrize(
    ("head", "tuner", "model_type", "forms_"),
    [
        ("classes", "lora", "bert", POOLS),
        ("classes", "full", "llama", POOLS),
        ("classes", "lora", "mpnet", (Form.TRANSFORMERS,)),  # not tried with vLLM
        ("classes", "prefix", "llama", (Form.TRANSFORMERS,)),  # not merged into one body
        ("tags", "lora", "bert", (Form.TRANSFORMERS,)),
        ("lm", "lora", "llama", BOTH),
    ],
)
def test_a_classifier_of_one_body_that_vllm_knows_may_be_pooled_there(
    tmp_path: Path, head: str, tuner: str, model_type: str, forms_: tuple[Form, ...]
) -> None:
    write_json(tmp_path / "config.json", {"model_type": model_type})
    assert forms.possible(settings_of(tuner), head, tmp_path) == forms_
    assert Form.POOLING not in forms.possible(settings_of(tuner), head, tmp_path / "nowhere")


def test_a_classifier_that_is_pooled_stays_so_while_that_is_asked_for(kept: Path) -> None:
    write_json(kept / "head.json", {"kind": "classify"})
    base, pooling = state.base_folder("b" * 64), Deploy(serve="pooling")
    assert forms.is_as_configured(Form.TRANSFORMERS, version(), kept, pooling, {}), "nobody knows the base's config"
    write_json(base / "config.json", {"model_type": "bert"})
    assert forms.choose(version(), kept, base, pooling, {}) is Form.POOLING
    assert not forms.is_as_configured(Form.TRANSFORMERS, version(), kept, pooling, {})
    (base / "config.json").unlink()
    write_json(state.pooled_folder(kept) / "config.json", {"model_type": "bert"})
    assert forms.is_as_configured(Form.POOLING, version(), kept, pooling, {})
    assert not forms.is_as_configured(Form.POOLING, version(), kept, Deploy(), {})
