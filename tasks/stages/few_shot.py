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
from tasks.inference.answers import insert_examples
from tasks.inference.parent import ask
from tasks.models import architecture
from tasks.stages.predict.params import Predict
from tasks.texts.clean import clean

MAX_EXAMPLES = 4  # examples


def few_shot(params: Predict, parent: Path, prepared: Path, out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the parent's greedy answers to the test rows, each behind
    the same examples from the training rows. If there can be no examples, no predictions and the reason.
    """
    held_out: list[Prepared] = read_jsonl(prepared / "test.jsonl")
    rows = turns.with_tool_turns(held_out, params.tool_turns)
    spec = read_json(prepared / "format.json")
    examples, reason = [], _reason_for_none(parent, spec)
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


def _reason_for_none(parent: Path, spec: Mapping[str, object]) -> str:
    """Why no examples can be shown; empty if they can."""
    if (example := example_in(spec)) != "chat":
        return f"a parent cannot be shown examples of rows that are {example}"
    if spec.get("tools"):
        return "tool calls are not shown as examples"
    if architecture.of_folder(parent) != "causal":
        return "the parent reads one text and no turns before it"
    return ""


def choose(rows: Sequence[Prepared], form: AnswerFormat) -> list[Prepared]:
    """At most MAX_EXAMPLES of the training `rows`: of the most common classes of the first label, shorter than most.

    They depend on the rows alone. If no column is a label, they are rows of all lengths up to the median.
    """
    answers: list[dict[str, str]] = [form.read(row["answer"]) or {} for row in rows]
    label = next((name for name in form.columns if is_label([clean(row.get(name, "")) for row in answers])), None)
    classes = [row.get(label, "") if label else "" for row in answers]
    common = [name for name, _ in sorted(Counter(classes).items(), key=lambda pair: (-pair[1], pair[0]))]
    by_length = sorted(range(len(rows)), key=lambda i: (_length(rows[i]), str(rows[i]["id"])))
    by_class = {name: [i for i in by_length if classes[i] == name] for name in common[:MAX_EXAMPLES]}
    chosen: list[int] = []
    for number in range(MAX_EXAMPLES):
        candidates = by_class[common[number % len(by_class)]] if by_class else []
        left = [i for i in candidates if i not in chosen]
        chosen += left[len(left) // 4 : len(left) // 4 + 1]
    return [rows[i] for i in chosen]


def _length(row: Prepared) -> int:
    return sum(len(message["content"]) for message in row["messages"]) + len(row["answer"])


def as_turns(examples: Sequence[Prepared]) -> list[Message]:
    """The examples as turns, each with its right answer; without system messages, since each row has its own."""
    dialogues = [[*(turn for turn in row["messages"] if turn["role"] != "system"), last_turn(row)] for row in examples]
    return [without_weight(turn) for dialogue in dialogues for turn in dialogue]


def with_examples(examples: Sequence[Prepared], row: Prepared) -> Prepared:
    """`row` with the turns of `examples` in front."""
    return {**row, "messages": insert_examples(as_turns(examples), row["messages"])}


def fit_in_context(
    params: Predict, parent: Path, rows: Sequence[Prepared], examples: Sequence[Prepared]
) -> tuple[list[Prepared], str]:
    """(as many of `examples` as fit into the parent's context beside every row and answer, the reason if not all)."""
    tokenizer, limit = load_tokenizer(parent), context_length(parent)
    kept = list(examples)
    while kept:
        try:
            longest = max(len(encode_question(tokenizer, with_examples(kept, row))) for row in rows)
        except AnnealError as error:
            return [], f"the parent's chat template does not take the examples: {error}"
        if longest + params.max_new_tokens <= limit:
            break
        kept.pop()
    reason = f"{len(kept)} of {len(examples)} examples fit beside the longest row into the parent's {limit} tokens"
    return kept, (reason if len(kept) < len(examples) else "" if kept else "there are no training rows")


def context_length(parent: Path) -> int:
    """The most tokens that the parent reads."""
    config = read_json(parent / "config.json")
    length = config.get("text_config", config).get("max_position_embeddings") or config.get("n_positions")
    return int(length) if length else 2**31


if __name__ == "__main__":
    stage.main(few_shot, Predict, "models.{row}.predict")
