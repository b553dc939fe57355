"""One mistake or two, in all combinations that fit together, on one probe.

The steps are walked depth first. What two combinations have in common, up to the first step in which they differ, is
computed once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from grading.diagnosis.matching import Target
from grading.diagnosis.mistakes import Mistake, Swap
from grading.diagnosis.pipeline import PROGRAMS, STEPS, State, Step, calls, start
from grading.diagnosis.probes import Probe


class Way(NamedTuple):
    """A mistake as it is written in one of its ways."""

    mistake: Mistake
    swap: Swap


Combination = tuple[Way, ...]
Found = Callable[[Combination, State], None]


def ways(mistakes: tuple[Mistake, ...]) -> tuple[Way, ...]:
    return tuple(Way(mistake, swap) for mistake in mistakes for swap in mistake.swaps)


def joined(combination: Combination) -> dict[str, Step]:
    """All that is swapped."""
    return {name: step for way in combination for name, step in way.swap.items()}


def attempt(step: Step, state: State) -> State | None:
    """The next state; None where the step does not fit."""
    try:
        return step(state)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None


class Walk:
    """Walks through some steps with up to `spare` mistakes, and reports every state at the end."""

    def __init__(self, names: tuple[str, ...], choices: Sequence[Way], found: Found) -> None:
        self.names, self.found = names, found
        order = {name: i for i, name in enumerate(names)}
        self.first: dict[str, list[Way]] = {name: [] for name in names}
        for way in choices:
            known = [name for name in way.swap if name in order]
            if known:
                self.first[min(known, key=order.__getitem__)].append(way)

    def go(self, i: int, state: State, swaps: Mapping[str, Step], chosen: Combination, spare: int) -> None:
        """From step i on; `swaps` are the steps that the mistakes chosen so far have settled."""
        while i < len(self.names):
            name = self.names[i]
            i += 1
            step = swaps.get(name)
            after = attempt(step or STEPS[name], state)
            if spare and step is None:
                self._branch(i, (state, after), swaps, chosen, spare)
            if after is None:
                return
            state = after
        self.found(chosen, state)

    def _branch(
        self, i: int, around: tuple[State, State | None], swaps: Mapping[str, Step], chosen: Combination, spare: int
    ) -> None:
        """Step i - 1 done wrong, in all ways; `around` is the state before it and after it."""
        name = self.names[i - 1]
        for way in self.first[name]:
            if way.swap.keys() & swaps.keys():
                continue
            after = attempt(way.swap[name], around[0])
            # what changes nothing here is no part of a pair here: the other one would do alone
            if after is None or (after is around[1] and len(way.swap) == 1):
                continue
            self.go(i, after, {**swaps, **way.swap}, (*chosen, way), spare - 1)


def compatible(a: Way, b: Way) -> bool:
    return a.mistake is not b.mistake and not a.swap.keys() & b.swap.keys()


def reproducing(probe: Probe, outputs: Mapping[str, Tensor], choices: Sequence[Way], size: int) -> list[Combination]:
    """The combinations of that many mistakes that give these outputs; of a cached layer those of its last call.

    One of which a mistake changes nothing on this probe is not among them.
    """
    hits: list[Combination] = []
    last = f"output.{len(probe.chunks) - 1}" if probe.chunks else "output"
    target = Target(outputs[last])

    def found(chosen: Combination, state: State) -> None:
        if len(chosen) == size and target.hit(state.output):
            hits.append(chosen)

    names = PROGRAMS[probe.symbol]
    if not probe.chunks:
        Walk(names, choices, found).go(0, start(probe), {}, (), size)
        return hits
    cut = names.index("hand_out") + 1
    early = [way for way in choices if way.swap.keys() & set(names[:cut])]
    walk = Walk(names[cut:], [way for way in choices if way not in early], found)
    for head, state in _with_cache(probe, outputs, _heads(early, size)):
        walk.go(0, state, joined(head), head, size - len(head))
    return hits


def _heads(early: Sequence[Way], size: int) -> list[Combination]:
    """At most that many of the mistakes that change a cache."""
    two = [(a, b) for i, a in enumerate(early) for b in early[:i] if compatible(a, b)] if size == 2 else []
    return [(), *((way,) for way in early), *two]


def _with_cache(
    probe: Probe, outputs: Mapping[str, Tensor], heads: Sequence[Combination]
) -> Iterator[tuple[Combination, State]]:
    """Those with which the last call hands out the cache that was seen, and that call as far as its cache."""
    keys, values = Target(outputs["keys"]), Target(outputs["values"])
    for head in heads:
        try:
            state = calls(probe, joined(head))[-1]
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue
        if state.cache is not None and keys.hit(state.cache[0]) and values.hit(state.cache[1]):
            yield head, state
