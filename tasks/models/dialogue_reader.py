"""Reads a dialogue that ends with an answer as tokens: by the chat template of a base that writes, or as a plain text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.dataset.rows import Message, Row
from tasks.dialogues import chat, choices
from tasks.errors import AnnealError
from tasks.formats import tools
from tasks.models import architecture, encoder
from tasks.models.encoder import Reader

READ = ("causal", "encoder")


@dataclass(frozen=True)
class Choice:
    """A prompt with each of several answers at its end, as tokens."""

    dialogues: list[list[int]]

    def __len__(self) -> int:
        """The number of tokens of the longest."""
        return max(map(len, self.dialogues))


@dataclass(frozen=True)
class DialogueReader(Reader):
    """A tokenizer, and whether its base `writes`. Of a dialogue with too many tokens, the last ones are read."""

    writes: bool

    def tokens(self, row: Row, answer: str) -> list[int]:
        """The messages of `row`, then `answer`: as they are trained on by sft, with the end of turn; for an encoder
        `role: content`, turn by turn.
        """
        turns: Row = {"id": row["id"], "messages": row["messages"], "answer": answer, "row": {}}
        if "tools" in row:
            turns["tools"] = row["tools"]
        if self.writes:
            return chat.encode(self.tokenizer, turns)["input_ids"][-self.positions :]
        return self.encode(plain([*row["messages"], chat.last_turn(turns)]))

    def choice(self, row: Row) -> Choice:
        """The dialogues of a choice, whose answers are the last messages of `row`."""
        prompt, answers = choices.split(row["messages"])
        asked = row.copy()
        asked["messages"] = prompt
        return Choice([self.tokens(asked, answer) for answer in answers])


def plain(turns: Sequence[Message]) -> str:
    """The turns as a text, `role: content` each, a blank line between them; calls of tools as JSON."""
    return "\n\n".join(f"{turn['role']}: {_content(turn)}" for turn in turns)


def _content(turn: Message) -> str:
    called = turn.get("tool_calls")
    calls = tools.canonical([call["function"] for call in called]) if called else ""
    return "\n".join(filter(None, [turn["content"], calls]))


def load(weights: Path) -> DialogueReader:
    """The reader of the weights in a folder; AnnealError if they are of a model that reads no dialogue."""
    from transformers import AutoConfig, AutoTokenizer

    kind = architecture.of_folder(weights)
    if kind not in READ:
        raise AnnealError(
            f"{weights} holds a model that {architecture.IS[kind]}, and a reward model reads dialogues: "
            "use one on a base that writes, or on an encoder."
        )
    if kind == "causal":
        tokenizer = chat.load_tokenizer(weights)
    else:
        tokenizer = AutoTokenizer.from_pretrained(weights, trust_remote_code=False, truncation_side="left")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token  # never read: padding is masked
    positions = encoder.positions(AutoConfig.from_pretrained(weights, trust_remote_code=False))
    return DialogueReader(tokenizer, positions, kind == "causal")
