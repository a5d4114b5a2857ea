"""The sections of serving: `deploy`, `servers`, `gateway`, `records` and `release`."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section

Port = Annotated[int, Field(ge=1, le=65535)]


class Deploy(Section):
    """How the champion is served."""

    serve: Literal["auto", "adapter", "merged", "pooling"] = Field(
        default="auto",
        description="adapters on their base, or weights of its own; auto: merged for a model alone on a CPU; pooling: "
        "classifiers by vLLM too, where it knows their base, and all else as with auto",
    )
    host: str = Field(
        default="127.0.0.1", description="the address vLLM listens on; leave it on loopback, the gateway is the door"
    )
    port: Annotated[
        int, Field(ge=1, le=65533, description="of the first server; the next two up are for its successor and others")
    ] = 8000
    max_model_len: Annotated[int, Field(ge=64, le=10_000_000, description="tokens of prompt and answer")] = 1024
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 16
    kv_cache_gib: Annotated[int, Field(ge=1, le=4096, description="GiB, on a CPU only")] = 2
    startup_timeout: Annotated[int, Field(ge=10, le=7200, description="seconds until vLLM must answer")] = 600
    parity_prompts: Annotated[int, Field(ge=1, le=1024)] = 16
    min_agreement: Annotated[
        float, Field(ge=0, le=1, description="share of tokens that vLLM and transformers must agree on")
    ] = 0.95


class Servers(Section):
    """Where `make up` puts its other servers, on loopback."""

    prefect_port: Port = 4200
    mlflow_port: Port = 5000


class Gateway(Section):
    """The door in front of vLLM: who may ask, how much, how long."""

    host: str = Field(default="127.0.0.1", description="the address the gateway listens on")
    port: Port = 8080
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000, description="of one key")] = 600
    max_body_kib: Annotated[int, Field(ge=1, le=65_536, description="KiB of a request")] = 256
    max_image_kib: Annotated[int, Field(ge=1, le=32_768, description="KiB of an image that is asked about")] = 8192
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000, description="tokens of one answer, all choices together")] = (
        1024
    )
    max_running: Annotated[int, Field(ge=1, le=10_000, description="requests at vLLM at once")] = 32
    max_waiting: Annotated[
        int, Field(ge=0, le=100_000, description="requests that wait for their turn; one more gets 429")
    ] = 64
    timeout: Annotated[
        float, Field(gt=0, le=3600, description="seconds for an answer, or for the next piece of a stream")
    ] = 120


class Records(Section):
    """The log of requests: what is kept and for how long."""

    sample: Annotated[float, Field(ge=0, le=1, description="share of requests that are written down")] = 1.0
    retention_days: Annotated[float, Field(gt=0, le=36_500, description="days until a request is forgotten")] = 90


class Release(Section):
    """How a new version that passed the gate takes over from the champion."""

    canary: Literal["share", "shadow", "off"] = Field(
        default="share", description="a share of the traffic, a copy of it, or none"
    )
    canary_share: Annotated[float, Field(gt=0, lt=1, description="share of requests")] = 0.2
    canary_requests: Annotated[
        int, Field(ge=1, le=10_000_000, description="answers of the challenger after which it takes over")
    ] = 500
    canary_patience: Annotated[
        float, Field(gt=0, le=10_000, description="hours until a canary with too little traffic is called off")
    ] = 72
    alpha: Annotated[float, Field(gt=0, lt=0.5, description="chance to call an equal version worse")] = 0.05
