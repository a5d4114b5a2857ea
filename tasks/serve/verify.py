"""Asks a running vLLM whether it answers, and whether it answers as transformers did."""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import objectives
from tasks.dataset.rows import Answered, Text
from tasks.dialogues.chat import encode_question, load_tokenizer, prompt_of_text, special_texts
from tasks.dialogues.special import SpecialTexts
from tasks.errors import AnnealError
from tasks.formats.tools import openai_messages, template_tools
from tasks.serve import supervisor
from tasks.serve.cascade.parity import refuse_other_labels
from tasks.serve.loopback import client
from tasks.texts import images

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Body = Mapping[str, object]  # of a request
Rows = Sequence[Answered]
PATIENCE = 120.0  # seconds for one answer
SLACK = 16  # tokens that an answer may be longer than the longest of transformers
ENDED = -1  # where vLLM ended its turn and the answer goes on


class ServedAnswer(Text):
    """One answer of a server."""

    prompt_token_ids: list[int]


@dataclass(frozen=True)
class Parity:
    """How far vLLM and transformers agree on `prompts` greedy answers.

    `share`: of the tokens, each after the same tokens; `unforced`: of the tokens before the first difference of each
    answer; `identical`: answers without one. Of classes all are 1, and `difference` is the largest of a probability.
    """

    prompts: int
    share: float
    unforced: float
    identical: int
    difference: float | None = None


def is_healthy(url: str) -> bool:
    """True when vLLM's /health says so."""
    import httpx

    try:
        return bool(client().get(url.removesuffix("/v1") + "/health", timeout=2).status_code == 200)
    except httpx.HTTPError:
        return False


def served_names(url: str) -> list[str]:
    """The models that the server at `url` lists."""
    return [entry["id"] for entry in client().get(f"{url}/models", timeout=10).json()["data"]]


def wait_until_healthy(url: str, program: str, timeout: float) -> None:
    """Return when the server answers; AnnealError with its last words when it ends or the time is up."""
    started = shown = time.monotonic()
    while not is_healthy(url):
        now = time.monotonic()
        if supervisor.status(program) in supervisor.ENDED:
            raise AnnealError(f"vLLM did not start ({supervisor.last_words(program)}); see .anneal/logs/{program}.log.")
        if now - started > timeout:
            supervisor.stop(program)
            raise AnnealError(
                f"vLLM did not answer within {timeout:.0f} s (deploy.startup_timeout); see .anneal/logs/{program}.log."
            )
        if now - shown > 15:
            shown = now
            print(f"vLLM is starting: {now - started:.0f} s (60 to 120 s are usual on 2 cores)", flush=True)
        time.sleep(0.5)


def question(special: SpecialTexts, row: Answered) -> tuple[str, Body]:
    """(route, body) of the request for a prediction: a chat of its messages, or the opening of its text to continue."""
    if "image" in row:
        return "chat/completions", {"messages": images.chat_messages(row["image"])}
    if row["messages"]:
        tools = row.get("tools")
        fields = {"tools": special.neutral_in(template_tools(tools)), "tool_choice": "none"} if tools else {}
        return "chat/completions", {"messages": openai_messages(special.neutral_in(row["messages"])), **fields}
    return "completions", {"prompt": prompt_of_text(special, row)}


def line_to_try(url: str, body: Body, example: Answered) -> str:
    """A shell command that sends `body`, the request behind `example`; an image is read from its file."""
    text, curl = json.dumps(body, ensure_ascii=False), f"curl -s {url} -H 'Content-Type: application/json' -d"
    if "image" not in example:
        return f"{curl} {shlex.quote(text)}"
    before, after = map(shlex.quote, text.split(example["image"].partition(",")[2]))
    file = shlex.quote(example["row"]["image_file"])
    return f"(printf %s {before}; base64 -w0 {file}; printf %s {after}) | {curl} @-"


def ask(url: str, model: str, request: tuple[str, Body], max_tokens: int) -> ServedAnswer:
    """One greedy answer to a `question`; AnnealError when vLLM refuses."""
    route, body = request
    greedy = {"temperature": 0, "max_tokens": max_tokens, "return_token_ids": True}
    value = _post(url, route, {"model": model, **body, **greedy})
    choice = value["choices"][0]
    is_chat = "message" in choice
    return {
        "prompt_token_ids": (value if is_chat else choice)["prompt_token_ids"],
        "token_ids": choice["token_ids"],
        "text": choice["message"]["content"] if is_chat else choice["text"],
        "finished": choice["finish_reason"] == "stop",
    }


def _post(url: str, path: str, body: Body) -> Any:  # JSON of vLLM's
    import httpx

    try:
        answer = client().post(f"{url}/{path}", json=body, timeout=PATIENCE)
    except httpx.HTTPError as error:
        raise AnnealError(
            f"vLLM at {url} did not answer a request ({type(error).__name__}); see its log in .anneal/logs/."
        ) from None
    if answer.status_code != 200:
        raise AnnealError(f"vLLM at {url} refused a request for {body['model']}: {answer.text[:200]}")
    return answer.json()


def next_tokens(url: str, model: str, prompt: list[int], answer: list[int], has_encoder: bool = False) -> list[int]:
    """For each token of `answer`, the one that the server chooses after `prompt` and the answer's tokens before it,
    which a model with an encoder gets separately.

    vLLM continues greedily, and is put back on the answer after each difference. (Asking for prompt_logprobs
    would be one request, but with LoRA on a CPU that kills vLLM 0.32.)
    """
    chosen: list[int] = []
    while len(chosen) < len(answer):
        prefix, rest = answer[: len(chosen)], answer[len(chosen) :]
        body = {"prompt": prompt, "decoder_prompt": prefix} if has_encoder else {"prompt": prompt + prefix}
        tokens = _complete(url, model, body, len(rest))
        pairs = enumerate(zip(tokens, rest, strict=False))
        same = next((i for i, (token, expected) in pairs if token != expected), min(len(tokens), len(rest)))
        chosen += rest[:same]
        if same < len(rest):
            chosen.append(tokens[same] if same < len(tokens) else ENDED)
    return chosen


def _complete(url: str, model: str, body: dict[str, list[int]], max_tokens: int) -> list[int]:
    greedy = {"max_tokens": max_tokens, "temperature": 0, "return_token_ids": True}
    value: list[int] = _post(url, "completions", {"model": model, **body, **greedy})["choices"][0]["token_ids"]
    return value


def answerable(
    tokenizer_folder: Path, predictions: Rows, count: int, max_model_len: int
) -> tuple[list[Answered], list[str]]:
    """(the first `count` of `predictions` that a server of `max_model_len` tokens can answer again, the ids of those
    passed over).

    Prompt, answer and end of turn must fit. Evaluation asked these rows without the server's limit.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    kept: list[Answered] = []
    too_long: list[str] = []
    for row in predictions:
        if len(kept) == count:
            break
        if len(encode_question(tokenizer, row)) + len(row["token_ids"]) + 1 > max_model_len:
            too_long.append(row["id"])
        else:
            kept.append(row)
    return kept, too_long


def check_parity(
    url: str, model: str, folder: Path, predictions: Rows, max_model_len: int, min_agreement: float
) -> Parity:
    """Compare vLLM's greedy answers with those that transformers gave in `predictions`, each of which is `answerable`.

    Raises AnnealError for another prompt (template mismatch), an answer that does not end where it should (EOS
    mismatch), or a share of equal tokens below `min_agreement`. Equality is not asked for: bf16 sums differ in order.
    """
    tokenizer = load_tokenizer(folder)
    prompts = [encode_question(tokenizer, row) for row in predictions]
    ours = [row["token_ids"] for row in predictions]
    longest = max(map(len, ours)) + SLACK
    rooms = [min(longest, max_model_len - len(prompt)) for prompt in prompts]
    questions = [question(special_texts(tokenizer), row) for row in predictions]
    has_encoder = objectives.head_of(folder) == "seq2seq"
    with ThreadPoolExecutor(len(predictions)) as pool:
        answers = list(pool.map(lambda request, room: ask(url, model, request, room), questions, rooms))
        forced = list(pool.map(lambda prompt, ids: next_tokens(url, model, prompt, ids, has_encoder), prompts, ours))
    refuse_other_labels(special_texts(tokenizer), model, predictions, answers)
    _refuse_other_prompts(tokenizer, predictions, prompts, answers)
    _refuse_endless(predictions, answers)
    ends = set(tokenizer.all_special_ids)
    parity = agreement(ours, forced, [_without_end(reply["token_ids"], ends) for reply in answers])
    if parity.share < min_agreement:
        raise AnnealError(
            f"vLLM and transformers agree on {parity.share:.1%} of the tokens of {parity.prompts} answers, "
            f"deploy.min_agreement asks for {min_agreement:.0%}; the deployment is refused."
        )
    return parity


def _refuse_other_prompts(
    tokenizer: "PreTrainedTokenizerBase", predictions: Rows, prompts: list[list[int]], answers: Sequence[ServedAnswer]
) -> None:
    for row, prompt, reply in zip(predictions, prompts, answers, strict=True):
        if reply["prompt_token_ids"] != prompt:
            raise AnnealError(
                f"template mismatch: vLLM reads row {row['id']} as "
                f"{tokenizer.decode(reply['prompt_token_ids'])[:80]!r}, training read it differently; "
                "the deployment is refused."
            )


def _refuse_endless(predictions: Rows, answers: Sequence[ServedAnswer]) -> None:
    pairs = zip(predictions, answers, strict=True)
    endless = [row["id"] for row, reply in pairs if row["finished"] and not reply["finished"]]
    if len(endless) > len(predictions) / 8:
        raise AnnealError(
            f"EOS mismatch: {len(endless)} of {len(predictions)} answers end with transformers and not with vLLM "
            f"(rows {', '.join(endless[:3])}); the deployment is refused."
        )


def agreement(ours: list[list[int]], forced: list[list[int]], theirs: list[list[int]]) -> Parity:
    """The parity of the answers `ours`: with `forced`, token by token, and with the free answers `theirs`."""
    equal = sum(x == y for a, b in zip(ours, forced, strict=True) for x, y in zip(a, b, strict=True))
    before = total = identical = 0
    for a, b in zip(ours, theirs, strict=True):
        before += next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        total, identical = total + max(len(a), len(b)), identical + (a == b)
    tokens = sum(map(len, ours))
    return Parity(len(ours), equal / tokens if tokens else 1.0, before / total if total else 1.0, identical)


def _without_end(tokens: list[int], ends: set[int]) -> list[int]:
    return tokens[:-1] if tokens and tokens[-1] in ends else tokens
