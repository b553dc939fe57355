"""Every text that a reader may want in another language, by key.

English titles and hints stand in kata.toml, sentences of mistakes in the catalogue and in the wrong submissions, what
a star says in the star, interview questions in questions.toml and katas/questions/, the words of the screens in
texts/en.toml. A translation has the words of the screens in texts/<language>.toml, what belongs to a kata in
katas/<kata>/<language>.toml, what several katas share in a folder of katas/ that is no kata, and questions that belong
to no single kata in katas/questions/<language>/; what it lacks stays English. KATA_LANG chooses. Only what is shown is
translated, and at the last moment: records and JSON are English.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Catalog, Kata, KataFault, read_toml
from grading.records import Cause, CheckResult, KataResult, Report, Star

FOLDER = Path(__file__).resolve().parent / "texts"
ENGLISH = "en"
SHOWS_A_LINE = ("raised", "forbidden", "misfit", "stopped")  # kinds of failures whose `got` is a line of the learner's
COMMAND = "KATA_COMMAND"
MEANING = "    "  # stands between a row of numbers and what they are
TABLES = ("words", "titles", "hints", "mistakes", "checks", "messages", "drills", "questions", "stars")


def chosen() -> str:
    """The language that KATA_LANG asks for (zh, zh-CN and zh_CN.UTF-8 are the same one), English without."""
    return re.split(r"[-_.@]", os.environ.get("KATA_LANG", "").strip().lower())[0] or ENGLISH


def grader() -> str:
    """How the reader calls the grader: in a notebook it is a magic."""
    return os.environ.get(COMMAND) or "python grader.py"


class Texts:
    """The texts of one language; English for what it lacks, and where there is no such language."""

    def __init__(self, language: str | None = None) -> None:
        self.language = chosen() if language is None else language
        self._own = tables(self.language)
        if not self._own:
            self.language = ENGLISH

    def word(self, key: str, **values: object) -> str:
        """A word or sentence of the screens, with its values put in."""
        text = str(self._own.get("words", {}).get(key) or tables(ENGLISH)["words"][key])
        return text.format(**values, grader=grader())

    def title(self, kata: Kata) -> str:
        return str(self._found("titles", kata.stem, kata.title))

    def passed(self, katas: Sequence[Kata]) -> str:
        """How many katas of each track are passed, which are these."""
        counted, catalog = [], Catalog()
        for track in catalog.tracks:
            done, whole = (sum(kata.track == track for kata in each) for each in (katas, catalog.katas))
            values = {"track": self.word(f"track-{track}"), "passed": done, "count": whole}
            counted.append(self.word("status-track", **values))
        return self.word("list-comma").join(counted)

    def hints(self, kata: Kata) -> tuple[str, ...]:
        """The hints of a kata, as many as there are in English."""
        own = self._found("hints", kata.stem, ())
        return tuple(own[i] if i < len(own) else hint for i, hint in enumerate(kata.hints))

    def causes(self, found: Mapping[str, str], explains: Mapping[str, int]) -> str:
        """The sentences of mistakes, by name, in a row, each with the number of checks that it explained."""
        return self.word("semicolon").join(
            self.cause(name, text, explains.get(name, 0)) for name, text in found.items()
        )

    def cause(self, name: str, sentence: str, explains: int, times: int = 1) -> str:
        """The sentence of a mistake, how often it was named, and how many checks it explained then."""
        counts = [self.word("cause-times", count=times)] if times > 1 else []
        counts += [self.word("cause-checks" if explains > 1 else "cause-check", count=explains)] if explains else []
        told = str(self._found("mistakes", name, sentence or name.replace("-", " ")))
        return told + (self.word("in-brackets", text=self.word("comma").join(counts)) if counts else "")

    def drill(self, kata: str, file: str, english: str) -> str:
        """What is wrong in a submission, which is called after its mistake, two_<it>_and_<another>, or anything."""
        names = file.removeprefix("two_").split("_and_") if file.startswith("two_") else [file]
        sentences = [self._found("mistakes", name, "") for name in names]
        both = self.word("and").join(sentences) if all(sentences) else english
        return str(self._found("drills", f"{kata}/{file}", both))

    def rule(self, title: str) -> str:
        """The title of a check, without its parameters."""
        return str(self._found("checks", title, title))

    def star(self, star: Star) -> str:
        """What there is to say about an efficiency star."""
        return str(self._found("stars", star.template, star.template)).format(**star.figures)

    def report(self, report: Report) -> Report:
        """The same report with its titles and the sentences of causes and stars in this language."""
        return replace(report, katas=tuple(self.result(result) for result in report.katas))

    def result(self, result: KataResult) -> KataResult:
        if not self._own:
            return result
        return replace(
            result,
            title=self._found("titles", result.kata, result.title),
            causes=tuple(self._cause(cause) for cause in result.causes),
            checks=tuple(self._check(check) for check in result.checks),
            message=self.message(result.message),
            star=result.star and replace(result.star, text=self.star(result.star)),
        )

    def _cause(self, cause: Cause) -> Cause:
        return replace(cause, sentence=self._found("mistakes", cause.name, cause.sentence))

    def _check(self, check: CheckResult) -> CheckResult:
        """A check's title by its English one: tests of several katas share a name and differ in what they say."""
        rule, bracket, parameters = check.title.partition(" [")
        title = self._found("checks", rule, rule) + bracket + parameters
        if check.kind == "raised":  # the rest is Python's, and the learner's
            return replace(check, title=title)
        got = check.got if check.kind in SHOWS_A_LINE else self.message(check.got)
        return replace(
            check, title=title, message=self.message(check.message), wanted=self.message(check.wanted), got=got
        )

    def message(self, english: str) -> str:
        """What a failure says; `{}` in a key of the table stands for what differs from case to case."""
        numbers, gap, meaning = english.partition(MEANING)
        if gap:
            return f"{numbers}{gap}{self.message(meaning)}"
        exact = self._own.get("messages", {}).get(english)
        if exact:
            return str(exact)
        for pattern, own in _patterns(self.language):
            if found := pattern.fullmatch(english):
                return own.format(*map(self.message, found.groups()))
        return english

    def _found(self, table: str, key: str, english: Any) -> Any:
        return self._own.get(table, {}).get(key) or english


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """The messages with something to be put in: first those that end a sentence (`{} has the wrong shape`), for what
    they put in may be one of the others (`the output with a mask {}`); of each, those with most words of their own."""
    own = {key: text for key, text in tables(language).get("messages", {}).items() if "{}" in key}
    keys = sorted(own, key=lambda key: (not key.startswith("{}"), -len(key)))
    return [(re.compile(re.escape(key).replace(r"\{\}", "(.+?)"), re.DOTALL), own[key]) for key in keys]


def word(key: str, **values: object) -> str:
    """A word of the screens in the language that was chosen."""
    return Texts().word(key, **values)


@cache
def tables(language: str) -> Mapping[str, Mapping[str, Any]]:
    """What the language's files hold, by table and key; nothing where there is no such language."""
    path = FOLDER / f"{language}.toml"
    if not re.fullmatch("[a-z]{2,3}", language) or not path.is_file():
        return {}
    found: dict[str, dict[str, Any]] = {name: {} for name in TABLES} | read_toml(path)
    katas = ROOT / "katas"
    for path in sorted((*katas.glob(f"*/{language}.toml"), *katas.glob(f"*/{language}/*.toml"))):
        try:
            stem, entry = path.parent.name, read_toml(path)
        except KataFault as fault:
            print(f"grader: {fault}", file=sys.stderr)
            continue
        own = {"titles": {stem: entry.get("title")}, "hints": {stem: entry.get("hints")}}
        drills = {f"{stem}/{file}": sentence for file, sentence in entry.get("drills", {}).items()}
        for name, more in (entry | own | {"drills": drills}).items():
            if name in TABLES:
                found[name] |= {key: text for key, text in more.items() if text}
    return found
