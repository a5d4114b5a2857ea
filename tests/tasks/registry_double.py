"""An MlflowClient in memory with what promotion asks of one, and faults on demand; test_registry_double.py holds it
to the real store.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace

NAME = "things"


class Fault(Enum):
    """What becomes of a call."""

    NONE = "it is done"
    BEFORE = "it fails and nothing has changed"
    AFTER = "it is done, and the answer is lost"
    KILLED = "the process dies before it"
    KILLED_AFTER = "the process dies after it"


class Killed(BaseException):
    """The end of the process, which no `except Exception` may outlive."""


@dataclass
class Double:
    """The registered model NAME: aliases, tags and versions with their tags. `watch` sees every change as it is
    made.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: Iterator[Fault] | None = None
    watch: Callable[["Double", dict[str, str]], None] = lambda double, before: None

    def _call(self, work: Callable[[], object]) -> object:
        fault = next(self.faults, Fault.NONE) if self.faults else Fault.NONE
        if fault is Fault.KILLED:
            raise Killed
        if fault is Fault.BEFORE:
            raise self._error("TEMPORARILY_UNAVAILABLE")
        before, answer = dict(self.aliases), work()
        self.watch(self, before)
        if fault is Fault.KILLED_AFTER:
            raise Killed
        if fault is Fault.AFTER:
            raise self._error("TEMPORARILY_UNAVAILABLE")
        return answer

    def _error(self, code: str) -> Exception:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import ErrorCode

        return MlflowException("planted", ErrorCode.Value(code))

    def _of(self, version: str) -> dict[str, str]:
        if version not in self.versions:
            raise self._error("RESOURCE_DOES_NOT_EXIST")
        return self.versions[version]

    def _entry(self, version: str) -> SimpleNamespace:
        return SimpleNamespace(name=NAME, version=version, tags=dict(self._of(version)), run_id="run")

    def get_registered_model(self, name: str) -> SimpleNamespace:
        """As MlflowClient's; so are all below."""
        return self._call(lambda: SimpleNamespace(name=name, aliases=dict(self.aliases), tags=dict(self.tags)))

    def search_model_versions(self, query: str) -> list[SimpleNamespace]:
        return self._call(lambda: [self._entry(version) for version in self.versions])

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self._of(version)
        self._call(lambda: self.aliases.update({alias: version}))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self._call(lambda: self.aliases.pop(alias, None))

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self._call(lambda: self.tags.update({key: value}))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        self._call(lambda: self.tags.pop(key, None))

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self._call(lambda: self._of(version).update({key: value}))

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        self._call(lambda: self._of(version).pop(key, None))
