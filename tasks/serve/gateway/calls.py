"""The tool calls in an answer, assembled from a whole answer or from the chunks of a stream."""

import json
from collections.abc import Callable, Mapping

from tasks.formats import tools
from tasks.serve.gateway.body import is_deep

Output = str | list[tools.Call]  # of a row of the records, before it is redacted


class Calls:
    """The calls of one answer, as far as they were received."""

    def __init__(self) -> None:
        """None yet."""
        # of each call, the pieces of its name and of its arguments
        self._by_index: dict[int, tuple[list[str], list[str]]] = {}

    def __bool__(self) -> bool:
        """True when the answer calls a tool."""
        return bool(self._by_index)

    def read(self, entries: object) -> int:
        """Add the `tool_calls` of a message or of a piece; returns their number of characters. TypeError for anything
        but calls.
        """
        if not isinstance(entries, list):
            raise TypeError("the calls of an answer are not a list")
        size = 0
        for place, entry in enumerate(entries):
            function = entry.get("function") if isinstance(entry, Mapping) else None
            index = entry.get("index", place) if isinstance(entry, Mapping) else None
            if not isinstance(function, Mapping) or not isinstance(index, int):
                raise TypeError("a call of an answer has no function")
            for pieces, key in zip(self._by_index.setdefault(index, ([], [])), ("name", "arguments"), strict=True):
                piece = function.get(key) or ""
                if not isinstance(piece, str):
                    raise TypeError(f"the {key} of a call is not a text")
                pieces.append(piece)
                size += len(piece)
        return size

    def written(self, repair: Callable[[str], str]) -> Output:
        """The calls in their order, their texts passed through `repair`; or the text that the model wrote, if a call is
        incomplete or nested too deeply.
        """
        texts = [tuple(repair("".join(pieces)) for pieces in call) for _, call in sorted(self._by_index.items())]
        try:
            calls = [tools.call_of({"name": name, "arguments": arguments or "{}"}) for name, arguments in texts]
        except tools.MalformedCallError:
            calls = None
        if calls is not None and not is_deep(calls):
            return calls
        cut = (f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}' for name, arguments in texts)
        return "\n".join(cut)


def as_text(output: Output) -> str:
    """The one text that calls are read from; a text as it is."""
    return output if isinstance(output, str) else tools.canonical(output)
