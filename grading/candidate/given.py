"""Objects of classes that a stub gives, as a test sees them: they are a process away, where calls may change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grading.candidate.connection import Connection
from grading.candidate.pending import Pending
from grading.candidate.wire import Reference
from grading.candidate.wording import arguments


class GivenClass:
    """A class that the stub gives, as it stands in the learner's file."""

    def __init__(self, asked: Connection, name: str) -> None:
        self._asked = asked
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Object:
        """An object of it, made over there. An error in making it is raised when something is asked of it."""
        fields = self._asked.kata.signatures[self._name]
        values = {**dict(zip(fields, args, strict=False)), **kwargs}
        made = self._name + arguments((), (), values)
        number = next(self._asked.numbers)
        self._asked.ask_first({"do": "build", "class": self._name, "object": number, "kwargs": values})
        return Object(self._asked, number, made)


@dataclass(frozen=True)
class State:
    """An object as it is at one time.

    Attributes:
        fields: what it holds, by name.
        moved: the fields whose tensors do not lie in the memory of those with which it was made.
        added: the attributes that are no fields.
    """

    fields: dict[str, Any]
    moved: list[str]
    added: list[str]


class Object(Reference):
    """An object over there: a call that gets it as an argument gets the same one each time, and may change it."""

    def __init__(self, asked: Connection, number: int, made: str) -> None:
        super().__init__(number)
        self._asked = asked
        self._made = made

    def __str__(self) -> str:
        return f"made as {self._made}"

    def assign(self, **fields: Any) -> None:
        """Give fields other values, over there; those of a tensor go into the memory that it has."""
        self._asked.ask({"do": "assign", "object": self.number, "kwargs": fields}, *self._asked.called)

    def look(self) -> Pending:
        """What it holds after all that was asked before: an answer, a State."""
        asked = self._asked.ask({"do": "look", "object": self.number}, *self._asked.called)
        return asked.reading(lambda reply: State(reply["value"], reply["moved"], reply["added"]))
