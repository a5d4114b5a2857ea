"""Asks a running vLLM: does it answer, and does it answer what transformers answered."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tasks.chat import encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tasks.serve import supervisor

PATIENCE = 120.0  # seconds for one answer


@dataclass(frozen=True)
class Parity:
    """How far vLLM and transformers agree on `prompts` greedy answers."""

    prompts: int
    share: float
    identical: int


def is_healthy(url: str) -> bool:
    """True when vLLM's /health says so."""
    import httpx

    try:
        return httpx.get(url.removesuffix("/v1") + "/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def served_names(url: str) -> list[str]:
    """The models that the server at `url` lists."""
    import httpx

    return [entry["id"] for entry in httpx.get(f"{url}/models", timeout=10).json()["data"]]


def wait_until_healthy(url: str, program: str, timeout: float) -> None:
    """Return when the server answers; AnnealError with its last words when it ends or the time is up."""
    started = shown = time.monotonic()
    while not is_healthy(url):
        now = time.monotonic()
        if supervisor.status(program) in ("FATAL", "EXITED", "STOPPED"):
            raise AnnealError(f"vLLM did not start ({supervisor.last_words(program)}); see .anneal/logs/{program}.log.")
        if now - started > timeout:
            supervisor.stop(program)
            raise AnnealError(f"vLLM did not answer within {timeout:.0f} s (deploy.startup_timeout); see .anneal/logs/{program}.log.")
        if now - shown > 15:
            shown = now
            print(f"vLLM is starting: {now - started:.0f} s (60 to 120 s are usual on 2 cores)", flush=True)
        time.sleep(0.5)


def ask(url: str, model: str, messages: list[dict], max_tokens: int) -> dict:
    """One greedy answer: `{prompt_token_ids, token_ids, text, finished}`; AnnealError when vLLM refuses."""
    import httpx

    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": max_tokens, "return_token_ids": True}
    try:
        answer = httpx.post(f"{url}/chat/completions", json=body, timeout=PATIENCE)
    except httpx.HTTPError as error:
        raise AnnealError(f"vLLM at {url} did not answer a request ({type(error).__name__}); see .anneal/logs/vllm.log.") from None
    if answer.status_code != 200:
        raise AnnealError(f"vLLM at {url} refused a request for {model}: {answer.text[:200]}")
    value = answer.json()
    choice = value["choices"][0]
    return {"prompt_token_ids": value["prompt_token_ids"], "token_ids": choice["token_ids"], "text": choice["message"]["content"], "finished": choice["finish_reason"] == "stop"}


def check_parity(url: str, model: str, tokenizer_folder: Path, predictions: list[dict], max_tokens: int, min_agreement: float) -> Parity:
    """Compare vLLM's greedy answers with those that transformers gave in `predictions`.

    Raises AnnealError for another prompt (template mismatch), an answer that does not end where it should (EOS
    mismatch), or a share of equal tokens below `min_agreement`. Equality is not asked for: bf16 sums differ in order.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    with ThreadPoolExecutor(len(predictions)) as pool:
        answers = list(pool.map(lambda row: ask(url, model, row["messages"], max_tokens), predictions))
    for row, found in zip(predictions, answers, strict=True):
        if found["prompt_token_ids"] != encode_prompt(tokenizer, row["messages"]):
            raise AnnealError(f"template mismatch: vLLM reads row {row['id']} as {tokenizer.decode(found['prompt_token_ids'])[:80]!r}, training read it otherwise; the deployment is refused.")
    endless = [row["id"] for row, found in zip(predictions, answers, strict=True) if row["finished"] and not found["finished"]]
    if len(endless) > len(predictions) / 8:
        raise AnnealError(f"EOS mismatch: {len(endless)} of {len(predictions)} answers end with transformers and not with vLLM (rows {', '.join(endless[:3])}); the deployment is refused.")
    parity = agreement([row["token_ids"] for row in predictions], [_without_eos(found["token_ids"], tokenizer.eos_token_id) for found in answers])
    if parity.share < min_agreement:
        raise AnnealError(f"vLLM and transformers agree on {parity.share:.1%} of the tokens of {parity.prompts} answers, deploy.min_agreement asks for {min_agreement:.0%}; the deployment is refused.")
    return parity


def agreement(ours: list[list[int]], theirs: list[list[int]]) -> Parity:
    """The share of tokens up to the first difference of each pair of answers, of the longer answer's tokens."""
    agreed = total = identical = 0
    for a, b in zip(ours, theirs, strict=True):
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        agreed, total, identical = agreed + same, total + max(len(a), len(b)), identical + (a == b)
    return Parity(len(ours), agreed / total if total else 1.0, identical)


def _without_eos(tokens: list[int], eos: int) -> list[int]:
    return tokens[:-1] if tokens and tokens[-1] == eos else tokens
