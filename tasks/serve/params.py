"""The sections of serving: `deploy`, `servers`, `gateway`, `records` and `release`."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section

Port = Annotated[int, Field(ge=1, le=65535)]


class Deploy(Section):
    """How the champion is served."""

    serve: Literal["auto", "adapter", "merged", "pooling"] = Field(
        default="auto",
        description="adapter on a shared base, or merged weights; auto: merged for a single model on a "
        "CPU, else adapter; pooling: like auto, with classifiers on vLLM where it supports "
        "their base",
    )
    host: str = Field(
        default="127.0.0.1", description="address vLLM listens on; keep it on loopback, clients use the gateway"
    )
    port: Annotated[
        int, Field(ge=1, le=65533, description="port of the first server; the next two are for other versions")
    ] = 8000
    max_model_len: Annotated[int, Field(ge=64, le=10_000_000, description="tokens of prompt and answer")] = 1024
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 16
    kv_cache_gib: Annotated[int, Field(ge=1, le=4096, description="GiB, on a CPU only")] = 2
    startup_timeout: Annotated[int, Field(ge=10, le=7200, description="seconds in which the server must come up")] = 600
    parity_prompts: Annotated[int, Field(ge=1, le=1024)] = 16
    min_agreement: Annotated[
        float, Field(ge=0, le=1, description="share of tokens that vLLM and transformers must agree on")
    ] = 0.95


class Servers(Section):
    """Where `make up` puts its other servers, on loopback."""

    prefect_port: Port = 4200
    mlflow_port: Port = 5000


class Gateway(Section):
    """The gateway in front of vLLM: who may ask, how much, how long."""

    host: str = Field(default="127.0.0.1", description="address the gateway listens on")
    port: Port = 8080
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000, description="requests of one key")] = 600
    max_body_kib: Annotated[int, Field(ge=1, le=65_536, description="KiB of a request")] = 256
    max_image_kib: Annotated[int, Field(ge=1, le=32_768, description="KiB of an uploaded image")] = 8192
    max_tokens: Annotated[
        int, Field(ge=1, le=1_000_000, description="tokens of one response, all choices together")
    ] = 1024
    max_running: Annotated[int, Field(ge=1, le=10_000, description="requests sent to the model servers at once")] = 32
    max_waiting: Annotated[
        int, Field(ge=0, le=100_000, description="requests in the queue; beyond that clients get 429")
    ] = 64
    timeout: Annotated[
        float, Field(gt=0, le=3600, description="seconds until an answer, or the next chunk of a stream, must arrive")
    ] = 120


class Records(Section):
    """The log of requests: what is kept and for how long."""

    sample: Annotated[float, Field(ge=0, le=1, description="share of requests that are logged")] = 1.0
    retention_days: Annotated[float, Field(gt=0, le=36_500, description="days until a request is deleted")] = 90


class Release(Section):
    """How a new version that passed the gate takes over from the champion."""

    canary: Literal["share", "shadow", "off"] = Field(
        default="share", description="share: part of the traffic; shadow: a copy of it; off: promote at once"
    )
    canary_share: Annotated[float, Field(gt=0, lt=1, description="share of requests")] = 0.2
    canary_requests: Annotated[
        int, Field(ge=1, le=10_000_000, description="answers after which a healthy challenger takes over")
    ] = 500
    canary_patience: Annotated[
        float, Field(gt=0, le=10_000, description="hours after which a canary with too little traffic is abandoned")
    ] = 72
    alpha: Annotated[
        float, Field(gt=0, lt=0.5, description="probability of rejecting a version that is just as good")
    ] = 0.05
