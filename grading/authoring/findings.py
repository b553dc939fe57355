"""What is missing or wrong in katas: what grades of the solution and the submissions say, and what the files say."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grading.authoring.submissions import MOST_APART, files, has_twin, header, missed, stated, untrue
from grading.catalog import ROOT, Catalog, Kata, KataFault, read_toml
from grading.console import say_faults
from grading.diagnosis.knowledge import catalogue, mistakes_of, templates_of
from grading.diagnosis.mistake import name
from grading.examination.examiner import Examiner
from grading.hunts import by_stem
from grading.practice.interview.questions import TEXTS, Question, read
from grading.records import KataResult
from grading.stubs import stub
from grading.texts import ENGLISH, FOLDER, Texts, tables

HINTS = 3
FEWEST_RIGHT = 2
FEWEST_QUESTIONS = 8
LONGEST_KEY, MOST_WORDS = 24, 110
SEED = 1  # of the wrong submissions, so that the causes are those of the tests
LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != ENGLISH)


def at(path: Path, text: object, line: int = 0) -> str:
    """One finding, as a line that editors make a link of."""
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return f"{shown.as_posix()}:{f'{line}:' if line else ''} {text}"


def said(examiner: Examiner, katas: Sequence[Kata] = (), submissions: bool = False) -> Iterator[str]:
    """The findings about these katas, or about all and what they share; with those of grades of the submissions."""
    chosen = katas or Catalog().katas
    report = examiner.grade([kata.stem for kata in chosen], ROOT / "solutions")
    say_faults(report)
    lines: dict[str, None] = {}
    for kata, result in zip(chosen, report.katas, strict=True):
        found = [*_of_solution(kata, result), *findings(kata, _titles(result))]
        yield from (line for line in found if line not in lines)
        lines |= dict.fromkeys(found)
    if not katas and all(result.outcome == "passed" for result in report.katas):
        yield from shared_findings({title for result in report.katas for title in _titles(result)})
    for kata in chosen if submissions else ():
        yield from _of_submissions(examiner, kata)


def _titles(result: KataResult) -> set[str]:
    """The titles of the checks, without their parameters."""
    return {check.title.partition(" [")[0] for check in result.checks}


def _of_solution(kata: Kata, result: KataResult) -> Iterator[str]:
    if result.outcome != "passed" and kata.is_sound:
        yield at(kata.solution, f"it does not pass: {_why(result)}")


def _why(result: KataResult) -> str:
    first = result.first_failure
    return f"{first.title}: {first.message}" if first else result.message or result.outcome


def _of_submissions(examiner: Examiner, kata: Kata) -> Iterator[str]:
    """What a grade says of each right and wrong submission, against what it has to say."""
    for path in files("right", kata.stem):
        result = examiner.grade([kata.stem], path).katas[0]
        if result.outcome != "passed":
            yield at(path, f"it is right and does not pass: {_why(result)}")
    for path in files("wrong", kata.stem):
        result = examiner.grade([kata.stem], path, SEED).katas[0]
        if result.outcome != "failed":
            yield at(path, f"it is wrong and {'passes' if result.outcome == 'passed' else f'is {_why(result)}'}")
        elif lost := missed(path, result):
            instead = ", ".join(sorted(untrue(path, result))) or "nothing else"
            yield at(path, f"{', '.join(sorted(lost))} is not named as its cause; in its place: {instead}")
        elif others := untrue(path, result):
            yield at(path, f"{', '.join(sorted(others))} is named as its cause, which it does not state")


# ------------------------------------------------------------------------------------------ one kata, file by file


def findings(kata: Kata, titles: Collection[str]) -> list[str]:
    """One line each, with the file. `titles` are those of the checks, in English; none where they are not known."""
    if kata.fault:
        return [str(kata.fault)]
    found: list[str] = []
    parts: list[Callable[[Kata], Iterable[str]]] = [_grader, _stub, _hints, _questions, _submissions, _twins, _links]
    for part in (*parts, lambda each: _texts(each, titles), _to_do):
        try:
            found += part(kata)
        except KataFault as fault:
            found.append(str(fault))
        except (OSError, SyntaxError, ValueError) as error:
            found.append(at(ROOT / "katas" / kata.stem, f"{type(error).__name__}: {error}"))
    return list(dict.fromkeys(found))


def own_files(kata: Kata) -> list[Path]:
    """The files of a kata that somebody writes: all but the stub and the notebook, which are made from them."""
    notebook = ROOT / "notebooks" / "src" / f"{kata.stem}.py"
    own = [*sorted((ROOT / "katas" / kata.stem).glob("*.*")), kata.solution, kata.tests, notebook]
    return [path for path in (*own, *files("right", kata.stem), *files("wrong", kata.stem)) if path.is_file()]


def _to_do(kata: Kata) -> Iterator[str]:
    """The lines that say what is still to be written."""
    for path in own_files(kata):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if "TODO" in line:
                yield at(path, line[line.index("TODO") :].rstrip(" \"'"), number)


def _grader(kata: Kata) -> Iterator[str]:
    kata.check()
    return iter(())


def _stub(kata: Kata) -> Iterator[str]:
    path = ROOT / "problems" / f"{kata.stem}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != stub(kata):
        yield at(path, f"this is not the stub that the solution makes: python grader.py reset {kata.stem}")


def _hints(kata: Kata) -> Iterator[str]:
    if len([hint for hint in kata.hints if hint.strip()]) != HINTS:
        path = ROOT / "katas" / kata.stem / "kata.toml"
        yield at(path, f"{HINTS} hints are wanted: direction, idea, line of thought")


# ------------------------------------------------------------------------------------------------- questions


def _questions(kata: Kata) -> Iterator[str]:
    path = ROOT / "katas" / kata.stem / "questions.toml"
    every = read(path)
    if len(every) < FEWEST_QUESTIONS:
        yield at(path, f"{FEWEST_QUESTIONS} questions or more are wanted, not {len(every)}")
    for question in every:
        yield from (at(path, f"{question.key}: {fault}") for fault in faults(question))


def _asked(kata: Kata) -> tuple[Question, ...]:
    """The questions, for the sake of their texts: that their file is broken is said elsewhere."""
    try:
        return read(ROOT / "katas" / kata.stem / "questions.toml")
    except KataFault:
        return ()


def faults(question: Question) -> Iterator[str]:
    """What is wrong in an interview question."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", question.key) or len(question.key) > LONGEST_KEY:
        yield f"a key consists of words with hyphens between them, at most {LONGEST_KEY} characters"
    if missing := [field for field in TEXTS if not getattr(question, field)]:
        yield f"it has no {' and no '.join(missing)}"
    if strange := set("<$\\") & set("".join(getattr(question, field) for field in TEXTS)):
        yield f"it is read in a terminal too, and has {' '.join(sorted(strange))}"
    if len(question.say.split()) > MOST_WORDS:
        yield f"say has more than {MOST_WORDS} words, which is more than thirty seconds"
    if unknown := set(question.katas) - set(Catalog().stems):
        yield f"there is no kata {' or '.join(sorted(unknown))}"


# ----------------------------------------------------------------------------------------------- submissions


def _submissions(kata: Kata) -> Iterator[str]:
    right, wrong = (ROOT / "tests" / "submissions" / kind / kata.stem for kind in ("right", "wrong"))
    if len(files("right", kata.stem)) < FEWEST_RIGHT:
        yield at(right, f"{FEWEST_RIGHT} right submissions or more are wanted, unlike the reference and each other")
    if not files("wrong", kata.stem):
        yield at(wrong, "there is no wrong submission: a check that no wrong file fails is no check")
    known = {name(kind): kind for kind in mistakes_of(kata)}
    for path in files("wrong", kata.stem):
        if not header(path, "cause"):
            yield at(path, "a line `# cause:` has to say which mistakes are named, or none")
        for cause in sorted(stated(path) - known.keys()):
            yield at(path, f"{cause} is no mistake that the diagnosis of this kata knows")
    every = set().union(*(stated(path) for path in files("wrong")))
    for mistake in sorted(known.keys() - every):
        module = ROOT.joinpath(*known[mistake].__module__.split(".")).with_suffix(".py")
        yield at(module, f"no wrong submission of any kata states {mistake} as its cause")


def _twins(kata: Kata) -> Iterator[str]:
    for path in files("wrong", kata.stem):
        if not has_twin(path, kata):
            yield at(path, f"no right submission is the same but for at most {MOST_APART} lines")


# ------------------------------------------------------------------------------------------ texts and links


def _texts(kata: Kata, titles: Collection[str]) -> Iterator[str]:
    """What the translations of a kata lack, and have too many."""
    for language in LANGUAGES:
        path, known = ROOT / "katas" / kata.stem / f"{language}.toml", tables(language)
        own = read_toml(path) if path.is_file() else {}
        yield from (at(path, f"it lacks {each}") for each in _untranslated(kata, known, titles))
        yield from (at(path, f"it lacks drills: {each}") for each in _without_drill(kata, language))
        yield from (at(path, f"nothing has this text (any more): {each}") for each in _left_over(kata, own, titles))


def _untranslated(kata: Kata, known: Mapping[str, Any], titles: Collection[str]) -> Iterator[str]:
    if not known["titles"].get(kata.stem):
        yield "title"
    hints = known["hints"].get(kata.stem) or ()
    if [hint.count("\n") for hint in hints] != [hint.count("\n") for hint in kata.hints]:
        yield "hints, as many and with as many lines as the English ones"
    yield from (f"checks: {title}" for title in sorted(titles) if title not in known["checks"])
    yield from (f"mistakes: {name(kind)}" for kind in mistakes_of(kata) if name(kind) not in known["mistakes"])
    yield from (f"stars: {template}" for template in templates_of(kata) if template not in known["stars"])
    for question in _asked(kata):
        theirs = known["questions"].get(question.key, {})
        if missing := [field for field in TEXTS if getattr(question, field) and not theirs.get(field)]:
            yield f"questions: {question.key} ({', '.join(missing)})"


def _without_drill(kata: Kata, language: str) -> list[str]:
    """The wrong submissions for which there is no sentence, and none that could be made of their mistakes'."""
    texts = Texts(language)
    return [path.stem for path in files("wrong", kata.stem) if not texts.drill(kata.stem, path.stem, "")]


def _left_over(kata: Kata, own: Mapping[str, Any], titles: Collection[str]) -> list[str]:
    there: dict[str, Collection[str]] = {
        "checks": titles or own.get("checks", ()),
        "mistakes": {name(kind) for kind in mistakes_of(kata)},
        "drills": {path.stem for path in files("wrong", kata.stem)},
        "stars": templates_of(kata),
        "questions": {question.key for question in _asked(kata)},
    }
    unknown = sorted(own.keys() - there.keys() - {"title", "hints", "messages"})
    return unknown + [f"{table}: {key}" for table in there for key in own.get(table, ()) if key not in there[table]]


def shared_findings(titles: Collection[str]) -> list[str]:
    """What the translations that several katas share have too many: texts of no check and of no mistake of any."""
    found: list[str] = []
    for path in (path for language in LANGUAGES for path in (ROOT / "katas").glob(f"*/{language}.toml")):
        if path.parent.name not in by_stem():
            stars = {template for kata in Catalog().katas for template in templates_of(kata)}
            there = {"checks": titles, "mistakes": catalogue(), "stars": stars}
            own = read_toml(path)
            left = [key for table in there for key in own.get(table, {}) if key not in there[table]]
            found += [at(path, f"nothing has this text (any more): {key}") for key in left]
    return found


def _links(kata: Kata) -> Iterator[str]:
    """The notebook, and the sections of notebooks that are linked."""
    source = ROOT / "notebooks" / "src" / f"{kata.stem}.py"
    if not source.is_file():
        yield at(source, "there is no notebook")
    elif not (ROOT / "notebooks" / f"{kata.stem}.ipynb").is_file():
        yield at(source, f"the notebook is not built: python notebooks/build.py {kata.stem}")
    links = [(ROOT / "katas" / kata.stem / "diagnosis.py", *kind.see.partition("#")[::2]) for kind in mistakes_of(kata)]
    for path in own_files(kata):
        text = path.read_text(encoding="utf-8", errors="replace")
        links += [(path, page, section) for page, section in re.findall(r"(\w+)\.ipynb#([\w-]+)", text)]
        links += [(path, kata.stem, section) for section in re.findall(r"\]\(#([\w-]+)\)", text) if path == source]
    for path, page, section in dict.fromkeys(links):
        if section not in sections(page):
            yield at(path, f"it links {page}#{section}, and notebooks/src/{page}.py has no such section")


def sections(page: str) -> list[str]:
    """The sections of a notebook as links spell them; none where there is no such notebook."""
    path = ROOT / "notebooks" / "src" / f"{page}.py"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [heading.replace(" ", "-") for heading in re.findall(r"(?m)^# ##+ (.+?) *$", text)]
