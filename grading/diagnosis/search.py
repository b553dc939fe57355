"""One mistake or two, in all combinations that fit together, on one probe.

The steps are walked depth first. What two combinations have in common, up to the first step in which they differ, is
computed once.
"""

from collections.abc import Callable, Iterator, Mapping
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


class Walk:
    """Walks through some steps with up to `spare` mistakes, and reports every state at the end."""

    def __init__(self, names: tuple[str, ...], choices: tuple[Way, ...], found: Found) -> None:
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
            if step is None:
                step = STEPS[name]
                if spare:
                    self._branch(name, i, state, swaps, chosen, spare)
            try:
                state = step(state)
            except (RuntimeError, IndexError, ValueError, TypeError):
                return
        self.found(chosen, state)

    def _branch(
        self, name: str, i: int, state: State, swaps: Mapping[str, Step], chosen: Combination, spare: int
    ) -> None:
        for way in self.first[name]:
            if way.swap.keys() & swaps.keys():
                continue
            try:
                swapped = way.swap[name](state)
            except (RuntimeError, IndexError, ValueError, TypeError):
                continue
            self.go(i, swapped, {**swaps, **way.swap}, (*chosen, way), spare - 1)


def pairs(probe: Probe, outputs: Mapping[str, Tensor], mistakes: tuple[Mistake, ...]) -> Iterator[Combination]:
    """The pairs of mistakes that give the outputs of this probe, or for several calls one of them and the cache."""
    choices = ways(mistakes)
    if probe.chunks:
        return iter(_cached_pairs(probe, outputs, choices))
    hits: list[Combination] = []
    target = Target(outputs["output"])

    def found(chosen: Combination, state: State) -> None:
        if len(chosen) == 2 and target.hit(state.output):
            hits.append(chosen)

    Walk(PROGRAMS[probe.symbol], choices, found).go(0, start(probe), {}, (), 2)
    return iter(hits)


def _cached_pairs(probe: Probe, outputs: Mapping[str, Tensor], choices: tuple[Way, ...]) -> list[Combination]:
    """A call is walked from its cache on; the cache that is handed out has to be right first."""
    names = PROGRAMS[probe.symbol]
    cut = names.index("hand_out") + 1
    early = [way for way in choices if way.swap.keys() & set(names[:cut])]
    late = tuple(way for way in choices if way not in early)
    heads: list[Combination] = [(), *((way,) for way in early)]
    heads += [(a, b) for i, a in enumerate(early) for b in early[:i] if not a.swap.keys() & b.swap.keys()]
    hits: list[Combination] = []
    keys, values, last = Target(outputs["keys"]), Target(outputs["values"]), len(probe.chunks) - 1
    target = Target(outputs[f"output.{last}"])

    def found(chosen: Combination, state: State) -> None:
        if len(chosen) == 2 and target.hit(state.output):
            hits.append(chosen)

    walk = Walk(names[cut:], late, found)
    for head in heads:
        swaps = joined(head)
        try:
            state = calls(probe, swaps)[-1]
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue
        if state.cache is not None and keys.hit(state.cache[0]) and values.hit(state.cache[1]):
            walk.go(0, state, swaps, head, 2 - len(head))
    return hits
