"""A model on a base whose template knew no tools learns to call one, answers with what it returned, and is served by
vLLM as it was trained.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openai import OpenAI

from tasks.dialogues import templates, turns
from tasks.dialogues.chat import special_texts
from tasks.files import write_json, write_jsonl
from tasks.formats import tools
from tasks.formats.answer import format_in
from tasks.inference.answers import Answers
from tasks.serve import state, verify
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import read
from tests import tiny
from tests.real_vllm import state_of, vllm
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # a model is trained

SHELF = {
    "type": "function",
    "function": {
        "name": "shelf",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"type": "string"}},
            "required": ["colour"],
        },
    },
}
FORM = format_in({"answer": "{{ answer }}", "tools": True})
SECONDS = 300  # for vLLM to start on a busy machine


def call(colour: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "shelf", "arguments": {"colour": colour}}}


def row(thing: dict[str, str], is_told: bool) -> dict[str, Any]:
    """The question for a colour's shelf, which calls for it; or, when that is told, the answer to the person."""
    asked = {"role": "user", "content": thing["colour"]}
    if not is_told:
        answer = tools.canonical(tools.of_message([call(thing["colour"])]))
        more = {"messages": [asked], "answer": answer, "calls": [call(thing["colour"])]}
    else:
        told = {"role": "tool", "content": json.dumps({"shelf": thing["mood"]})}
        called = {"role": "assistant", "content": "", "tool_calls": [call(thing["colour"])]}
        more = {"messages": [asked, called, told], "answer": f"On the {thing['mood']} one."}
    return {"id": thing["id"], "tools": [SHELF], "row": {"answer": more["answer"]}, **more}


@pytest.fixture(scope="module")
def learnt(base: Path, tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> SimpleNamespace:
    """`weights`, `merged`, `answers` of a model that was trained on 96 rows."""
    import shutil

    from tasks.weights.merge import write_merged
    from tasks.weights.tuned import answer

    place = tmp_path_factory.mktemp("tools")
    weights = shutil.copytree(base, place / "weights")
    (weights / "chat_template.jinja").write_text(templates.template("chatml", begins_with_bos=False))
    rows = [row(thing, i // 4 % 2 == 1) for i, thing in enumerate(tiny.things(0, 128))]
    for name, part in {"train": rows[:96], "validation": rows[96:104], "test": rows[104:]}.items():
        write_jsonl(place / "prepared" / f"{name}.jsonl", part)
    write_json(place / "prepared" / "format.json", {"answer": "{{ answer }}", "tools": True})
    made = tiny.train_in(place, weights, place / "prepared", max_length=1024, num_train_epochs=6)
    answers: Answers = answer(weights, made.adapter, turns.with_tool_turns(rows[104:], 4), 12, 60, "tuned")
    merged = place / "merged"
    merged.mkdir()
    write_merged(weights, made.adapter, rows[104:], 0.1, merged)
    for folder in (merged, made.adapter):
        for file in (*weights.glob("*token*"), weights / "chat_template.jinja"):
            shutil.copy(file, folder / file.name)
    return SimpleNamespace(weights=weights, adapter=made.adapter, merged=merged, answers=answers.predictions)


def test_it_calls_where_it_was_taught_to_call_and_answers_where_it_was_told(learnt: SimpleNamespace) -> None:
    """Which colour it names is beyond two layers; that it calls the tool as its schema asks is not."""
    scored = read(learnt.answers, FORM, {})
    assert measures.of(Evaluate(), FORM)["valid"].rows(scored).all()
    called = [tools.read(answer["text"]) is not None for answer in learnt.answers]
    assert called == ["calls" in answer for answer in learnt.answers] and 0 < sum(called) < len(called)
    earlier = [answer for answer in learnt.answers if answer["id"].endswith("#2")]  # the calls before the last answers
    assert len(earlier) == len(learnt.answers) - 24 == sum("calls" not in answer for answer in learnt.answers)
    assert "tool_call_exact_match" in measures.of(Evaluate(), FORM)
    assert all(answer["finished"] for answer in learnt.answers)


def check(url: str, model: str, learnt: SimpleNamespace, tokenizer: object) -> None:
    """A server reads the prompts of training, and gives calls back as calls, streamed or not."""
    parity = verify.check_parity(url, model, learnt.adapter, learnt.answers[:8], 1024, 0.95)
    assert parity.share > 0.95
    asked = next(answer for answer in learnt.answers if "calls" in answer)
    messages = special_texts(tokenizer).neutral_in(asked["messages"])
    client = OpenAI(base_url=url, api_key="none", max_retries=0)
    given: dict[str, Any] = {"model": model, "messages": messages, "tools": asked["tools"], "temperature": 0}
    whole = client.chat.completions.create(**given, max_tokens=60).choices[0]
    assert whole.finish_reason == "tool_calls" and not whole.message.content
    [said] = whole.message.tool_calls
    assert FORM.read(tools.canonical([tools.call_of(said.function.model_dump())])) == FORM.read(asked["text"])
    pieces = [event.choices[0] for event in client.chat.completions.create(**given, max_tokens=60, stream=True)]
    functions = [call.function for piece in pieces for call in piece.delta.tool_calls or []]
    assert "".join(function.arguments or "" for function in functions) == said.function.arguments
    assert pieces[-1].finish_reason == "tool_calls" and not any(piece.delta.content for piece in pieces)
    told = next(answer for answer in learnt.answers if "calls" not in answer)
    given["messages"] = tools.openai_messages(told["messages"])
    assert client.chat.completions.create(**given, max_tokens=60).choices[0].message.content == told["text"]


def test_the_server_on_transformers_gives_calls_back_as_calls(learnt: SimpleNamespace, tokenizer: object) -> None:
    with serving(learnt.weights, things=learnt.adapter) as url:
        check(url, "things", learnt, tokenizer)


@pytest.mark.minutes
def test_vllm_gives_calls_back_as_calls(learnt: SimpleNamespace, tokenizer: object, tmp_path: Path) -> None:
    asked = state_of(learnt.merged, 1024, merged={"shelves@1": state.Served("1", "x", str(learnt.merged))})
    with vllm(asked, tmp_path / "log", SECONDS):
        check(asked.url, "shelves@1", learnt, tokenizer)
