"""The `deploy` and `servers` sections."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section

Port = Annotated[int, Field(ge=1, le=65535)]


class Deploy(Section):
    """How the champion is served."""

    serve: Literal["adapter", "merged"] = Field(default="adapter", description="LoRA on its base, or weights of its own")
    host: str = Field(default="127.0.0.1", description="the address vLLM listens on")
    port: Port = 8000
    max_model_len: Annotated[int, Field(ge=64, le=10_000_000, description="tokens of prompt and answer")] = 1024
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 16
    kv_cache_gib: Annotated[int, Field(ge=1, le=4096, description="GiB, on a CPU only")] = 2
    startup_timeout: Annotated[int, Field(ge=10, le=7200, description="seconds until vLLM must answer")] = 600
    parity_prompts: Annotated[int, Field(ge=1, le=1024)] = 16
    min_agreement: Annotated[float, Field(ge=0, le=1, description="share of tokens that vLLM and transformers must agree on")] = 0.95


class Servers(Section):
    """Where `make up` puts its other servers, on loopback."""

    prefect_port: Port = 4200
    mlflow_port: Port = 5000
