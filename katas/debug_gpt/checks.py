"""What shows a bug of plants.toml, and the checks of part two.

A probe asks for numbers on which the plants that name it act, and no other plant does: each is found by itself,
whatever else is still wrong. So a probe looks at one part of the model alone, with weights of its own, or turns what
comes from everywhere (a gradient, a loss) into a number that says one thing: whether something moves, or how often it
is counted. The last probe is the whole model: all act on it, and it shows what was right and is not any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from grading.candidate.learner import Layer, Learner
from grading.examination.checks import close, close_each, holds, same, shaped
from grading.examination.draw import Drawer

VOCABULARY, CONTEXT, WIDTH, HEADS = 11, 9, 12, 3
Probe = Callable[[Learner, Drawer], list[Tensor]]


def weighed(layer: Layer, draw: Drawer, training: bool = False, changed: Mapping[str, Tensor] | None = None) -> Layer:
    """The layer with random weights in the parameters that it has: those of a name do not depend on which others there
    are. A head of its own gets the embedding's weight, so that outputs do not depend on whether it is tied."""
    seed = int(draw(1).abs().item() * 1e6)
    weights = {name: Drawer(seed, name)(*shape, scale=0.5) for name, shape in layer.parameters.items()}
    weights |= {name: weight for name, weight in (changed or {}).items() if name in weights}
    if "head.weight" in weights and "tokens.weight" in weights:
        weights["head.weight"] = weights["tokens.weight"]
    return layer.set(weights, training=training, grad=True)


def tokens(draw: Drawer, batch: int = 2, length: int = 7) -> Tensor:
    """Random tokens, never the same one twice in a row."""
    steps = 1 + (draw(batch, length).abs() * 3).long() % (VOCABULARY - 1)
    return steps.cumsum(dim=-1) % VOCABULARY


def part(learner: Learner, symbol: str, *args: Any, **settings: Any) -> Layer:
    """A layer of the file."""
    made: Layer = getattr(learner, symbol)(*args, **settings)
    return made


def model(learner: Learner, num_layers: int = 1, **settings: Any) -> Layer:
    """A small model. It has no dropout unless that is asked for."""
    return part(learner, "GPT", VOCABULARY, CONTEXT, WIDTH, HEADS, num_layers, **settings)


def flag(value: float) -> list[Tensor]:
    """One number that says one thing."""
    return [torch.tensor([value], dtype=torch.float64)]


# ----------------------------------------------------------------------------------------- probes of single parts


def attention(learner: Learner, draw: Drawer) -> list[Tensor]:
    """Attention alone, in evaluation and without dropout."""
    layer = weighed(part(learner, "Attention", WIDTH, HEADS, 0.0), draw)
    return [layer(draw(2, 7, WIDTH, scale=2.0))]


def dropout(learner: Learner, draw: Drawer) -> list[Tensor]:
    """Whether a rate of dropout changes the output in training, and in evaluation."""
    x, changes = draw(2, 7, WIDTH), []
    for training in (True, False):
        with_some, without = (
            weighed(part(learner, "Attention", WIDTH, HEADS, rate), Drawer(7, "weights"), training)(x)
            for rate in (0.5, 0.0)
        )
        changes.append(float(not torch.equal(with_some, without)))
    return [torch.tensor(changes, dtype=torch.float64)]


def attention_gradients(learner: Learner, draw: Drawer) -> list[Tensor]:
    """Which of queries, keys and values get gradients."""
    layer = weighed(part(learner, "Attention", WIDTH, HEADS, 0.0), draw)
    found = layer.backward(draw(2, 7, WIDTH), draw(2, 7, WIDTH)).wait().parameters
    learns = [float(part.abs().sum() > 1e-9) for part in found["qkv.weight"].chunk(3)]
    return [torch.tensor(learns, dtype=torch.float64)]


def block(learner: Learner, draw: Drawer) -> list[Tensor]:
    """A block in which attention gives the same vector for each token, whatever is wrong in attention."""
    constant = {"attention.proj.weight": torch.zeros(WIDTH, WIDTH, dtype=torch.float64)}
    return [weighed(part(learner, "Block", WIDTH, HEADS, 0.0), draw, changed=constant)(draw(2, 7, WIDTH))]


def ends(learner: Learner, draw: Drawer) -> list[Tensor]:
    """A model without blocks: the embeddings, the last norm and the head."""
    return [weighed(model(learner, 0), draw)(tokens(draw))]


def tied(learner: Learner, draw: Drawer) -> list[Tensor]:
    """How many parameters of the model have the shape of the embedding."""
    shapes = model(learner, 0).parameters.values()
    return flag(sum(shape == (VOCABULARY, WIDTH) for shape in shapes))


def blocks(learner: Learner, draw: Drawer) -> list[Tensor]:
    """How many blocks with parameters of their own a model of three layers has."""
    names = model(learner, 3).parameters
    return flag(len({name.split(".")[1] for name in names if name.startswith("blocks.")}))


def initialisation(learner: Learner, draw: Drawer) -> list[Tensor]:
    """The standard deviations of the weights as they are at the start, to one digit, and the largest bias."""
    layer = part(learner, "GPT", 97, 40, 64, 4, 1)
    state = layer.state()[0]
    weights = [each for name, each in sorted(state.items()) if name.endswith("weight") and "norm" not in name]
    biases = [each.abs().max().item() for name, each in state.items() if name.endswith("bias")]
    spread = [float(f"{each.std().item():.1g}") for each in weights if each.shape != (97, 64)]
    spread.append(float(f"{state['tokens.weight'].std().item():.1g}"))
    return [torch.tensor([*spread, max(biases)], dtype=torch.float64)]


# --------------------------------------------------------------------------------------------- loss and training


def loss(learner: Learner, draw: Drawer) -> list[Tensor]:
    """By how many places labels are shifted and over which dimension the softmax goes: the loss is compared with the
    ways to compute one from the same model's logits."""
    layer, asked = weighed(model(learner), draw), tokens(draw)
    logits, got = layer(asked), layer.method("loss")(asked)
    shaped(logits, (*asked.shape, VOCABULARY), "the logits")
    shaped(got, (), "the loss")
    ways = []
    for shift in range(3):
        for dim in (-1, 1):
            kept = logits[:, : asked.size(1) - shift].log_softmax(dim=dim)
            wanted = -kept.gather(-1, asked[:, shift:, None]).mean()
            ways.append(float(abs(wanted - got) < 1e-6 * max(1.0, abs(wanted))))
    return [torch.tensor(ways, dtype=torch.float64)]


def zeroed_gradients(learner: Learner, draw: Drawer) -> list[Tensor]:
    """How much larger the embedding's gradient is after two steps that change nothing, than after one; and whether what
    a step makes of the embedding depends on the tokens: where gradients are set to zero before it, it does not. Every
    optimizer that there may be holds the embedding."""
    layer, asked = weighed(model(learner, lr=0.0), draw, training=True), tokens(draw)
    norms, moved = [], []
    for _ in range(2):
        layer.method("train_step")(asked)
        grad = layer.state()[1]["tokens.weight"]
        norms.append(0.0 if grad is None else float(grad.abs().sum()))
    for read in (asked, tokens(draw)):
        layer = weighed(model(learner, lr=0.1), Drawer(7, "weights"), training=True)
        layer.method("train_step")(read)
        moved.append(layer.state()[0]["tokens.weight"])
    learns = float(not torch.equal(*moved))
    return [*flag(norms[1] / norms[0] if norms[0] else 1.0), *flag(learns)]


def optimizer(learner: Learner, draw: Drawer) -> list[Tensor]:
    """Whether a step moves the blocks, whether it moves what is outside of them, and whether it gives the loss."""
    layer, asked = weighed(model(learner, lr=0.1), draw, training=True), tokens(draw)
    loss_before, before = float(layer.method("loss")(asked)), layer.state()[0]
    told = abs(float(layer.method("train_step")(asked)) - loss_before) < 1e-6 * max(1.0, abs(loss_before))
    after = layer.state()[0]
    moved = {name.startswith("blocks.") for name in before if not torch.equal(before[name], after[name])}
    return [torch.tensor([float(True in moved), float(False in moved), float(told)], dtype=torch.float64)]


def whole(learner: Learner, draw: Drawer) -> list[Tensor]:
    """Logits and loss of a model of two layers, in training and in evaluation, and the names and shapes of its
    parameters as a number."""
    asked = tokens(draw, 3, 8)
    found = flag(crc32(repr(sorted(model(learner, 2).parameters.items())).encode()) % 9973)
    for training in (True, False):
        layer = weighed(model(learner, 2), draw, training)
        found += [layer(asked), layer.method("loss")(asked)]
    return found


WHOLE = "whole model"
PROBES: Mapping[str, Probe] = {
    "attention": attention,
    "dropout": dropout,
    "attention gradients": attention_gradients,
    "block": block,
    "embedding and head": ends,
    "tied head": tied,
    "blocks": blocks,
    "initialisation": initialisation,
    "loss": loss,
    "zeroed gradients": zeroed_gradients,
    "optimizer": optimizer,
    WHOLE: whole,
}


# --------------------------------------------------------------------------------------------- the second part


def both(learner: Learner, reference: Learner, draw: Drawer, dropout: float = 0.0) -> tuple[Layer, Layer]:
    """The same model of two layers, of the file and of the reference. Its biases are small and its positions large, or
    the most likely token would nearly always be the same one."""
    made = [model(each, 2, dropout=dropout) for each in (learner, reference)]
    small = {name: draw(*shape, scale=0.05) for name, shape in made[1].parameters.items() if name.endswith("bias")}
    changed = {**small, "positions.weight": draw(CONTEXT, WIDTH)}
    seed = int(draw(1).abs().item() * 1e6)
    first, second = (weighed(each, Drawer(seed, "weights"), dropout > 0, changed) for each in made)
    return first, second


def a_pair_comes_back(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """forward returns (logits, cache), and the logits without a cache are right"""
    ours, theirs = both(learner, reference, draw)
    asked = tokens(draw)
    got = ours(asked)
    pair = isinstance(got, tuple | list) and len(got) == 2
    holds(pair, "forward has to return (logits, cache)", "a pair", type(got).__name__)
    close(got[0], theirs(asked)[0], "the logits")


def the_loss_is_as_before(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """loss still works"""
    ours, theirs = both(learner, reference, draw)
    asked = tokens(draw)
    close(ours.method("loss")(asked), theirs.method("loss")(asked), "the loss")


def one_token_at_a_time(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """with a cache, one token at a time gives the logits of a single pass"""
    in_pieces(learner, reference, draw, 1, [1] * 7)


def any_split(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """with a cache, any split of the tokens gives the logits of a single pass"""
    for sizes in ([3, 4], [1, 5, 1], [6, 1], [2, 2, 3]):
        in_pieces(learner, reference, draw, 1, sizes)


def several_sequences(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """with a cache, several sequences at once stay apart"""
    for batch, sizes in ((3, [4, 1, 2]), (2, [1] * 5)):
        in_pieces(learner, reference, draw, batch, sizes)


def in_pieces(learner: Learner, reference: Learner, draw: Drawer, batch: int, sizes: list[int]) -> None:
    """Logits of tokens that come in pieces of these sizes, each with the cache of the piece before."""
    ours, theirs = both(learner, reference, draw)
    asked = tokens(draw, batch, sum(sizes))
    steps = [(ours, piece, None if at == 0 else at - 1) for at, piece in enumerate(torch.split(asked, sizes, dim=1))]
    outputs = learner.decode(steps).wait()[0]
    close_each(outputs, torch.split(theirs(asked)[0], sizes, dim=1))


def greedy(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """generate gives the prompt and, token by token, what the model finds most likely"""
    ours, theirs = both(learner, reference, draw)
    for length, steps in ((3, 5), (1, 8), (4, 5), (5, 4), (7, 1), (4, 0)):
        prompt = tokens(draw, 1, length)
        same(ours.method("generate")(prompt, steps), theirs.method("generate")(prompt, steps), "the tokens")


def greedy_for_several(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """generate works for several prompts at once"""
    ours, theirs = both(learner, reference, draw)
    prompt = tokens(draw, 4, 3)
    same(ours.method("generate")(prompt, 6), theirs.method("generate")(prompt, 6), "the tokens")


def the_end_of_one_sequence(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """where one sequence of several ends, it goes on with the end token, and the others go on as before"""
    for _ in range(2):
        ours, theirs = both(learner, reference, draw)
        prompt = tokens(draw, 5, 3)
        free = theirs.method("generate")(prompt, 6)
        for end in sorted({*free[:, 3:5].flatten().tolist(), *prompt[:, 0].tolist()}):
            wanted = theirs.method("generate")(prompt, 6, end)
            same(ours.method("generate")(prompt, 6, end), wanted, "the tokens")


def no_dropout_in_generate(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """generate draws no dropout in a model that is in training, and leaves it in training"""
    ours, theirs = both(learner, reference, draw, dropout=0.5)
    prompt = tokens(draw, 3, 3)
    changed = ours.method("generate").changes(prompt, 2)
    holds("the mode of the layer" not in changed, "generate leaves the model in another mode", "training", "evaluation")
    same(ours.method("generate")(prompt, 5), theirs.method("generate")(prompt, 5), "the tokens")


def a_step_reads_one_token(learner: Learner, reference: Learner, draw: Drawer) -> None:
    """each step of generate reads one token, and not all of them again"""
    ours, theirs = both(learner, reference, draw)
    prompt = tokens(draw, 1, 3)
    most = 1.25 * theirs.method("generate").flops(prompt, 6)
    used = ours.method("generate").flops(prompt, 6)
    holds(used <= most, "generate multiplies more than a cache needs", f"at most {most:.0f} FLOPs", f"{used} FLOPs")


SECOND = (
    a_pair_comes_back,
    the_loss_is_as_before,
    one_token_at_a_time,
    any_split,
    several_sequences,
    greedy,
    greedy_for_several,
    the_end_of_one_sequence,
    no_dropout_in_generate,
    a_step_reads_one_token,
)
