"""Calls between two processes that share nothing but two pipes: arguments and results cross as plain data.

What a generated function returns is rebuilt on the tester's side from numbers, texts and containers, so no object of
its own (one that equals everything, say) takes part in a comparison. Functions cross as numbers and are called back.
"""

import builtins
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import BinaryIO

LONGEST = 4 * 2**20  # bytes of a message
MOST = 100_000  # values taken from an iterator
SAFE = 2**53  # integers beyond are written in hexadecimal, as decimals of thousands of digits are refused

Json = object  # what the module json reads and writes
Message = dict[str, Json]


class LostError(BaseException):
    """The other process ended, or sent what is no message; tests that expect an Exception do not take it for one."""


class CannotCrossError(TypeError):
    """A value that is neither plain data nor a function."""


class Peer:
    """One end of a connection. Each end calls what the other has exported, and serves calls while it waits."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._exported: list[Callable[..., object]] = []
        self.trouble: str | None = None  # why a call of the other end was lost; stays, whoever caught the error

    def send(self, message: Message) -> None:
        """Write a message; LostError if the other end is closed."""
        data = json.dumps(message).encode()
        if len(data) > LONGEST:
            raise CannotCrossError(f"a value takes more than {LONGEST >> 20} MiB")
        try:
            self._sink.write(b"%d\n%s" % (len(data), data))
            self._sink.flush()
        except OSError as error:
            raise LostError from error

    def receive(self) -> Message:
        """The next message; LostError if there is none."""
        size = self._source.readline(16)
        if not size.strip().isdigit() or int(size) > LONGEST:
            raise LostError
        data = self._source.read(int(size))
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise LostError from error
        if not isinstance(message, dict):
            raise LostError
        return message

    def export(self, function: Callable[..., object]) -> int:
        """The number under which the other end calls `function`."""
        self._exported.append(function)
        return len(self._exported) - 1

    def remote(self, number: int) -> Callable[..., object]:
        """A function that calls what the other end has exported under `number`; lists, dicts and sets among its
        arguments are changed in place as the other end changed them.
        """

        def call(*arguments: object, **named: object) -> object:
            request = {"call": number, "arguments": self.encode(arguments), "named": self.encode(named)}
            try:
                message = self._answer(request)
                changed, result = self.decode(message.get("changed")), self.decode(message.get("result"))
            except LostError as error:
                self.trouble = str(error)
                raise
            if "raised" in message:
                raise _exception(message["raised"], str(message.get("text", "")))
            for argument, value in zip(arguments, changed if isinstance(changed, tuple) else (), strict=False):
                _replace(argument, value)
            return result

        return call

    def _answer(self, request: Message) -> Message:
        self.send(request)
        while "call" in (message := self.receive()):
            self.serve(message)
        if "opaque" in message:
            raise LostError(str(message["opaque"]))
        return message

    def serve(self, message: Message) -> None:
        """Answer a call of the other end."""
        try:
            number = message["call"]
            if not isinstance(number, int) or not 0 <= number < len(self._exported):
                raise LostError
            arguments, named = self.decode(message["arguments"]), self.decode(message["named"])
            if not isinstance(arguments, tuple) or not isinstance(named, dict):
                raise LostError
            result = self.encode(self._exported[number](*arguments, **named))
            self.send({"result": result, "changed": self.encode(tuple(map(_plain, arguments)))})
        except LostError:
            raise
        except CannotCrossError as error:  # not what the function raised
            self.send({"opaque": str(error)})
        except BaseException as error:  # noqa: BLE001 - also SystemExit, which ends no call
            names = [kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind]
            self.send({"raised": names, "text": _text(error)[:2000]})

    def encode(self, value: object) -> Json:
        """`value` as JSON; CannotCrossError if it is not plain data."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if -SAFE < value < SAFE else {"int": hex(value)}
        if isinstance(value, float):
            return float(value)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, list):
            return [self.encode(entry) for entry in value]
        if callable(value):
            return {"function": self.export(value)}
        for name, (kind, write, _) in KINDS.items():
            if isinstance(value, kind):
                return {name: self.encode(write(value))}
        raise CannotCrossError(f"a value of type {type(value).__name__} is no plain data and cannot be compared")

    def decode(self, value: Json) -> object:
        """The value that `encode` wrote; LostError for anything else."""
        if isinstance(value, list):
            return [self.decode(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        try:
            ((name, content),) = value.items()
            if name == "int":
                return int(content, 16)
            if name == "function":
                return self.remote(int(content))
            plain = self.decode(content)
            return KINDS[name][2](plain)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            raise LostError from error


# name: (type, its content as plain data, the value made of that); the first type that fits counts
KINDS: dict[str, tuple[type, Callable[..., object], Callable[..., object]]] = {
    "tuple": (tuple, list, tuple),
    "dict": (Mapping, lambda value: [(key, value[key]) for key in value], dict),
    "frozenset": (frozenset, list, frozenset),
    "set": (Set, list, set),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "bytearray": (bytearray, bytearray.hex, bytearray.fromhex),
    "deque": (deque, list, deque),
    "range": (range, lambda value: [value.start, value.stop, value.step], lambda parts: range(*parts)),
    "complex": (complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "fraction": (Fraction, lambda value: [value.numerator, value.denominator], lambda parts: Fraction(*parts)),
    "decimal": (Decimal, str, Decimal),
    "iterator": (Iterator, lambda value: list(islice(value, MOST)), iter),
}


def _plain(argument: object) -> object:
    """What may have changed in place of an argument; None for all else."""
    return argument if isinstance(argument, list | dict | set | bytearray) else None


def _replace(argument: object, value: object) -> None:
    match argument, value:
        case list(), list():
            argument[:] = value
        case bytearray(), bytearray():
            argument[:] = value
        case dict(), dict():
            argument.clear()
            argument.update(value)
        case set(), set():
            argument.clear()
            argument.update(value)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - generated code decides what its errors say
        return ""


def _exception(names: Json, text: str) -> Exception:
    """The nearest exception of Python itself, as generated classes do not cross."""
    for name in names if isinstance(names, list) else []:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            try:
                return kind(text)
            except TypeError:  # UnicodeDecodeError and the like, which take more
                return ValueError(text)
    return RuntimeError(text)
