"""vLLM's engine in this process, which answers clients at the socket one after the other, and ends when nobody holds
it any more: `python -m tasks.inference.engine.server SETTINGS`.

vLLM runs within this one process, so that it dies whole and nothing of it is left behind.
"""

import json
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from typing import TYPE_CHECKING, cast

from tasks import environment
from tasks.device import device
from tasks.inference.engine import lifetime
from tasks.inference.engine.wire import SOCKET, Question, Settings, receive, send

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

ROWS = 256  # generated at once
BATCH = 8192  # tokens of a pass
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, which dies whole
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the one that a CPU has too, with the processors of logits that it has
    "HF_HUB_OFFLINE": "1",
}


def main() -> int:
    """Load the weights of the settings on the command line, and answer."""
    settings = Settings(**json.loads(sys.argv[1]))
    os.umask(0o077)
    lifetime.end_when_let_go()
    running = lifetime.runs()
    environment.apply()
    os.environ.update(ENVIRONMENT)
    try:
        llm = _load(settings)
    except Exception as error:  # noqa: BLE001 - the waiting stage gets any error in one line
        print(f"error: {_first_line(error)}", flush=True)
        return 1
    SOCKET.unlink(missing_ok=True)  # left by a killed process
    with running, Listener(str(SOCKET), "AF_UNIX", backlog=16) as listener:
        while True:
            with listener.accept() as connection:
                if _answer(connection, llm, settings):
                    return 0


def _load(settings: Settings) -> "LLM":
    """Load vLLM, eager: compiling and capturing graphs takes longer than answering some hundred rows."""
    from vllm import LLM

    from tasks.inference.engine.limited import processor

    more: dict[str, object] = {}
    if settings.max_lora_rank:
        more = {"enable_lora": True, "max_lora_rank": settings.max_lora_rank, "max_loras": 1}
    return LLM(
        model=settings.weights,
        tokenizer=settings.tokenizer,
        dtype=settings.dtype,
        max_model_len=settings.max_model_len,
        max_num_seqs=ROWS,
        kv_cache_memory_bytes=settings.kv_bytes,
        gpu_memory_utilization=0.01,  # the share that must be free at the start; the size of the cache is set above
        block_size=32 if device() == "cpu" else None,  # as tasks/serve/state.py has it
        max_num_batched_tokens=BATCH,
        enforce_eager=True,
        async_scheduling=False,  # each token is known before the next one is limited
        generation_config="vllm",
        structured_outputs_config={"backend": "xgrammar"},
        logits_processors=[processor()],
        seed=0,
        **more,
    )


def _answer(connection: Connection, llm: "LLM", settings: Settings) -> bool:
    """Send the settings and answer one question; True if this process is told to end."""
    try:
        send(connection, settings=settings.__dict__)
        message = receive(connection)
        if message.get("end"):
            return True
        answers = _write(llm, Question(**message["question"]), lambda done: send(connection, done=done))
        send(connection, answers=answers)
        print(f"{len(answers)} answers written", flush=True)
    except (EOFError, OSError):  # the client is gone
        _abort(llm)
    except Exception as error:  # noqa: BLE001 - the client gets any error, and the next may ask
        _abort(llm)
        send(connection, error=_first_line(error))
    return False


def _write(llm: "LLM", question: Question, tell: Callable[[float], None]) -> list[tuple[list[int], bool]]:
    """(tokens without the end, whether there was an end) of each prompt."""
    engine, written = llm.llm_engine, {}
    for place, prompt in enumerate(question.prompts):
        engine.add_request(
            str(place), {"prompt_token_ids": prompt}, _how(question, place), lora_request=_adapter(question)
        )
    steps = 0
    while engine.has_unfinished_requests():
        for output in engine.step():
            (answer,) = output.outputs
            tokens = list(answer.token_ids)
            finished = answer.finish_reason == "stop"
            written[int(output.request_id)] = (tokens[:-1] if finished and tokens[-1:] else tokens, finished)
        steps += 1
        tell(len(written))
    return [written[place] for place in range(len(question.prompts))]


def _how(question: Question, place: int) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    from tasks.inference.engine.limited import SCHEMA
    from tasks.inference.structured import Schema, without_length

    more: dict[str, object] = {}
    if question.schema is not None:
        more = {
            "structured_outputs": StructuredOutputsParams(json=without_length(cast(Schema, question.schema))),
            "extra_args": {SCHEMA: json.dumps(question.schema)},
        }
    if question.temperatures:
        more["seed"] = question.seeds[place]
    return SamplingParams(
        temperature=question.temperatures[place] if question.temperatures else 0,
        max_tokens=question.max_new_tokens,
        stop_token_ids=question.ends,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **more,
    )


def _adapter(question: Question) -> "LoRARequest | None":
    from vllm.lora.request import LoRARequest

    if question.adapter is None:
        return None
    return LoRARequest(question.name, _number(question.name), question.adapter)


_numbers: dict[str, int] = {}


def _number(name: str) -> int:
    """vLLM's number of an adapter, unique in this process."""
    return _numbers.setdefault(name, len(_numbers) + 1)


def _abort(llm: "LLM") -> None:
    engine = llm.llm_engine
    engine.abort_request(list(engine.output_processor.request_states), internal=True)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


if __name__ == "__main__":
    sys.exit(main())
