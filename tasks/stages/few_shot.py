"""Asks the parent about the held-out rows after a few answered examples: what prompting can do without training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks import stage
from tasks.dataset import answered
from tasks.dataset.rows import Answered, Message, Prepared
from tasks.dialogues import turns
from tasks.dialogues.chat import encode_question, last_turn, load_tokenizer, without_weight
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, whole_directory
from tasks.formats.answer import AnswerFormat, example_in, format_in
from tasks.formats.labels import is_label
from tasks.inference.answers import behind
from tasks.inference.parent import ask
from tasks.models import architecture
from tasks.stages.predict.params import Predict
from tasks.texts.clean import clean

MAX_EXAMPLES = 4  # examples


def few_shot(params: Predict, parent: Path, prepared: Path, out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the parent's greedy answers to the test rows, each behind
    the same examples from the training rows; no rows where there can be no examples, and why.
    """
    held_out: list[Prepared] = read_jsonl(prepared / "test.jsonl")
    rows = turns.with_tool_turns(held_out, params.tool_turns)
    spec = read_json(prepared / "format.json")
    examples, reason = [], _why_none(parent, spec)
    if not reason:
        examples = choose(read_jsonl(prepared / "train.jsonl"), format_in(spec))
        examples, reason = fit_in_context(params, parent, rows, examples)
    predictions: list[Answered] = []
    timing: dict[str, object] = {"seconds_per_answer": 0.0}
    if examples:
        answers, facts = ask(params, parent, prepared, rows, "few-shot", as_turns(examples))
        predictions = answers.predictions
        timing = {
            "seconds_per_answer": answers.seconds / len(rows),
            "examples": [row["id"] for row in examples],
            **facts,
        }
    with whole_directory(out) as folder:
        answered.write(folder, predictions, timing | ({"reason": reason} if reason else {}))


def _why_none(parent: Path, spec: Mapping[str, object]) -> str:
    """Why there are no examples to show; empty if there are."""
    if (example := example_in(spec)) != "chat":
        return f"a parent cannot be shown examples of rows that are {example}"
    if spec.get("tools"):
        return "tool calls are not shown as examples"
    if architecture.of_folder(parent) != "causal":
        return "the parent reads one text and no turns before it"
    return ""


def choose(rows: Sequence[Prepared], form: AnswerFormat) -> list[Prepared]:
    """At most MOST of the training `rows`: of the most common classes of the first label, shorter ones than most.

    They follow from the rows alone. Where no column is a label, they are rows of all lengths up to the middle one.
    """
    answers: list[dict[str, str]] = [form.read(row["answer"]) or {} for row in rows]
    label = next((name for name in form.columns if is_label([clean(row.get(name, "")) for row in answers])), None)
    kinds = [row.get(label, "") if label else "" for row in answers]
    common = [kind for kind, _ in sorted(Counter(kinds).items(), key=lambda pair: (-pair[1], pair[0]))]
    by_length = sorted(range(len(rows)), key=lambda place: (_length(rows[place]), str(rows[place]["id"])))
    of_kind = {kind: [place for place in by_length if kinds[place] == kind] for kind in common[:MAX_EXAMPLES]}
    taken: list[int] = []
    for number in range(MAX_EXAMPLES):
        places = of_kind[common[number % len(of_kind)]] if of_kind else []
        left = [place for place in places if place not in taken]
        taken += left[len(left) // 4 : len(left) // 4 + 1]
    return [rows[place] for place in taken]


def _length(row: Prepared) -> int:
    return sum(len(message["content"]) for message in row["messages"]) + len(row["answer"])


def as_turns(examples: Sequence[Prepared]) -> list[Message]:
    """The examples as turns: what a person said, and what is right; the system's turn is each row's own."""
    own = [[turn for turn in row["messages"] if turn["role"] != "system"] + [last_turn(row)] for row in examples]
    return [without_weight(turn) for of_row in own for turn in of_row]


def with_examples(examples: Sequence[Prepared], row: Prepared) -> Prepared:
    """`row` with the turns of `examples` in front."""
    return {**row, "messages": behind(as_turns(examples), row["messages"])}


def fit_in_context(
    params: Predict, parent: Path, rows: Sequence[Prepared], examples: Sequence[Prepared]
) -> tuple[list[Prepared], str]:
    """As many of `examples` as the parent's context holds beside each row and its answer; of fewer it is said why."""
    tokenizer, room = load_tokenizer(parent), context_length(parent)
    taken = list(examples)
    while taken:
        try:
            longest = max(len(encode_question(tokenizer, with_examples(taken, row))) for row in rows)
        except AnnealError as error:
            return [], f"the parent's chat template does not take the examples: {error}"
        if longest + params.max_new_tokens <= room:
            break
        taken.pop()
    few = len(taken) < len(examples)
    reason = f"{len(taken)} of {len(examples)} examples fit beside the longest row into the parent's {room} tokens"
    return taken, (reason if few else "" if taken else "there are no training rows")


def context_length(parent: Path) -> int:
    """Tokens that the parent reads at most."""
    config = read_json(parent / "config.json")
    known = config.get("text_config", config).get("max_position_embeddings") or config.get("n_positions")
    return int(known) if known else 2**31


if __name__ == "__main__":
    stage.main(few_shot, Predict, "models.{row}.predict")
