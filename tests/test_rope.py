"""Grader of rotary position embeddings.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows. Positions are
small, so that an angle in float32 is right to six digits, but where a check is about large ones.
"""

import math

import pytest
import torch

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, close_each, holds, numbers, precise, raises, reached, shaped, typed
from katas.attention.layer_rules import short

WORK = 3e-5  # float32 angles up to 20
FAR = 0.1  # half precision, beside float32 angles of thousands of radians
HALF = {torch.float16: 6e-3, torch.bfloat16: 4e-2, torch.float32: WORK, torch.float64: WORK}
LAYOUTS = {"halves": False, "interleaved": True}
SHAPES = [(5, 4), (3, 5, 6), (2, 3, 5, 8)]
OTHER_SHAPES = [(2, 1, 3, 4, 10), (1, 1, 1, 2), (2, 3, 1, 64), (7, 128), (1, 2), (6, 2, 12)]

in_each_layout = pytest.mark.parametrize("interleaved", LAYOUTS.values(), ids=LAYOUTS)


def rope(x, positions, base=10000.0, interleaved=False):
    """Each pair as a complex number, times e^(i angle), in float64."""
    pairs = x.size(-1) // 2
    frequencies = base ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = positions.double()[..., None] * frequencies
    angles = angles if positions.dim() == 1 else angles[:, None]
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :pairs], x[..., pairs:])
    turned = torch.complex(a.double(), b.double()) * torch.polar(torch.ones_like(angles), angles)
    out = torch.stack([turned.real, turned.imag], dim=-1 if interleaved else -2)
    return out.flatten(-2).to(x.dtype)


def places(draw, *shape):
    """Random positions from 0 to 12, in no order."""
    return (draw(*shape).abs() * 5).long().clamp(max=12)


def axis(size, *ones):
    """A vector with 1 in these places and 0 elsewhere."""
    x = torch.zeros(size, dtype=torch.float64)
    x[list(ones)] = 1.0
    return x


def angles_of(out, interleaved=False):
    """By how much pairs that were (1, 0) are turned: (..., E/2)."""
    pairs = out.size(-1) // 2
    a, b = (out[..., 0::2], out[..., 1::2]) if interleaved else (out[..., :pairs], out[..., pairs:])
    return torch.atan2(b, a)


# ------------------------------------------------------------------------------------------ shape, dtype


@in_each_layout
@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
def test_output_shape(learner, draw, shape, interleaved):
    """the output has the shape of x"""
    shaped(learner.apply_rope.ahead(draw(*shape), torch.arange(5), 10000.0, interleaved), shape)


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_output_dtype(learner, draw, dtype):
    """the output has the dtype of x"""
    typed(learner.apply_rope.ahead(draw(3, 5, 4).to(dtype), torch.arange(5)), dtype)


# ------------------------------------------------------------------------------------------------ rules


@in_each_layout
def test_position_zero_turns_nothing(learner, interleaved):
    """position 0 turns nothing"""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    out = learner.apply_rope(x, torch.tensor([0]), 10000.0, interleaved)
    shaped(out, (1, 4))
    numbers(out.flatten().tolist(), [1, 2, 3, 4], "x itself", "the output at position 0 is not x")


@pytest.mark.parametrize("pair", [(1.0, 0.0), (0.0, 1.0)], ids=["(1, 0)", "(0, 1)"])
def test_a_pair_is_turned(learner, pair):
    """a pair (a, b) becomes (a cos - b sin, a sin + b cos)"""
    # with one pair the angle is the position
    a, b = pair
    out = learner.apply_rope(torch.tensor([[a, b]] * 3, dtype=torch.float64), torch.arange(3))
    shaped(out, (3, 2))
    turned = [(a * math.cos(p) - b * math.sin(p), a * math.sin(p) + b * math.cos(p)) for p in range(3)]
    numbers(
        [number for row in out.tolist() for number in row],
        [number for row in turned for number in row],
        f"({a:.0f}, {b:.0f}) at positions 0, 1 and 2, with E = 2",
        "the pair is not turned by its angle",
    )


def partners(learner, size, interleaved):
    """For each feature, which others hold something when it alone was not zero."""
    x = torch.eye(size, dtype=torch.float64)[:, None].expand(size, 2, size)
    out = learner.apply_rope(x.contiguous(), torch.arange(2), 10000.0, interleaved)
    shaped(out, (size, 2, size))
    held = (out[:, 1].abs() > 1e-20) & ~torch.eye(size, dtype=torch.bool)
    return [row.nonzero().flatten().tolist() for row in held]


def told(found):
    """The partners of each feature, as a row."""
    row = ", ".join(f"{i}-{'+'.join(map(str, each))}" for i, each in enumerate(found))
    return f"{row}    each feature and its partner"


@pytest.mark.parametrize("size", [4, 6], ids="E={}".format)
def test_a_pair_has_a_feature_of_each_half(learner, size):
    """by default features i and i + E/2 are a pair"""
    found, wanted = partners(learner, size, False), [[(i + size // 2) % size] for i in range(size)]
    holds(found == wanted, "other features are turned together", told(wanted), told(found))


@pytest.mark.parametrize("size", [4, 6], ids="E={}".format)
def test_an_interleaved_pair_has_neighbours(learner, size):
    """with interleaved=True features 2i and 2i + 1 are a pair"""
    found, wanted = partners(learner, size, True), [[i ^ 1] for i in range(size)]
    holds(found == wanted, "other features are turned together", told(wanted), told(found))


def frequencies_are(learner, size, base, interleaved=False, given=()):
    """Pair i is turned by base^(-2i/E) at position 1; `given` is what the call has beside x and positions."""
    ones = range(0, size, 2) if interleaved else range(size // 2)
    out = learner.apply_rope(axis(size, *ones).expand(2, size).contiguous(), torch.arange(2), *given)
    shaped(out, (2, size))
    numbers(
        angles_of(out, interleaved)[1].tolist(),
        [base ** (-2 * i / size) for i in range(size // 2)],
        f"the angles of the pairs at position 1, with E = {size} and base {base:g}",
        "the pairs are turned by other angles",
    )


@pytest.mark.parametrize("size", [4, 6], ids="E={}".format)
def test_frequencies(learner, size):
    """pair i is turned by base^(-2i/E) for each position"""
    frequencies_are(learner, size, 10000.0)


@pytest.mark.parametrize("base", [100.0, 500000.0], ids="base={:g}".format)
def test_base(learner, base):
    """the base is the one that is given"""
    frequencies_are(learner, 4, base, given=(base,))


@pytest.mark.parametrize("size", [4, 6], ids="E={}".format)
def test_interleaved_frequencies(learner, size):
    """with interleaved=True pair i is turned by base^(-2i/E), too"""
    frequencies_are(learner, size, 10000.0, True, (10000.0, True))


@pytest.mark.parametrize("given", [(1, 2, 3), (3, 0, 2), (2,)], ids=str)
def test_positions_are_those_given(learner, given):
    """each row is turned by its own position, wherever they start and in any order"""
    out = learner.apply_rope(axis(2, 0).expand(len(given), 2).contiguous(), torch.tensor(given))
    shaped(out, (len(given), 2))
    numbers(
        angles_of(out).flatten().tolist(),
        given,
        f"the angles of rows at positions {', '.join(map(str, given))}",
        "the rows are turned by other positions",
    )


def test_positions_of_each_batch_entry(learner):
    """positions (B, L) have a row for each batch entry, which all its heads share"""
    positions = torch.tensor([[0, 1], [3, 2]])
    out = learner.apply_rope(axis(2, 0).expand(2, 3, 2, 2).contiguous(), positions)
    shaped(out, (2, 3, 2, 2))
    numbers(
        angles_of(out).flatten().tolist(),
        [0, 1] * 3 + [3, 2] * 3,
        "the angles in three heads at positions 0 1, and in three at 3 2",
        "the batch entries are turned by other positions",
    )


@in_each_layout
def test_worked_example(learner, interleaved):
    """the worked example of the contract"""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    cos, sin, slow_cos, slow_sin = math.cos(2), math.sin(2), math.cos(0.2), math.sin(0.2)
    wanted = [cos - 3 * sin, 2 * slow_cos - 4 * slow_sin, sin + 3 * cos, 2 * slow_sin + 4 * slow_cos]
    if interleaved:
        wanted = [cos - 2 * sin, sin + 2 * cos, 3 * slow_cos - 4 * slow_sin, 3 * slow_sin + 4 * slow_cos]
    out = learner.apply_rope(x, torch.tensor([2]), 100.0, interleaved)
    shaped(out, (1, 4))
    numbers(
        out.flatten().tolist(), wanted, "1 2 3 4 at position 2, with base 100", "the output is not that of the example"
    )


# ---------------------------------------------------------------------------------------------- numbers


@in_each_layout
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_numbers(learner, draw, shape, interleaved):
    """the numbers are right for any leading dimensions"""
    given = draw(*shape), places(draw, shape[-2]), 10000.0, interleaved
    close(learner.apply_rope.ahead(*given), rope(*given), tolerance=WORK)


@in_each_layout
def test_numbers_of_other_sizes(learner, draw, interleaved):
    """the numbers are right for one pair and for many, one row and more"""
    calls = [(draw(*shape), places(draw, shape[-2]), 10000.0, interleaved) for shape in OTHER_SHAPES]
    names = [f"the output for x {shape}" for shape in OTHER_SHAPES]
    close_each(learner.apply_rope.several(*calls), [rope(*call) for call in calls], names, tolerance=WORK)


@in_each_layout
def test_numbers_with_other_bases(learner, draw, interleaved):
    """the numbers are right for other bases"""
    calls = [(draw(3, 5, 8), places(draw, 5), base, interleaved) for base in (2.0, 123.5, 500000.0, 1e6)]
    close_each(learner.apply_rope.several(*calls), [rope(*call) for call in calls], tolerance=WORK)


@in_each_layout
@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 3, 5, 6)], ids=str)
def test_batched_positions(learner, draw, shape, interleaved):
    """the numbers are right where each batch entry has positions of its own"""
    given = draw(*shape), places(draw, shape[0], shape[2]), 10000.0, interleaved
    close(learner.apply_rope.ahead(*given), rope(*given), tolerance=WORK)


@in_each_layout
def test_colliding_sizes(learner, draw, interleaved):
    """the numbers are right where sizes coincide"""
    calls = [(draw(4, 4, 4, 4), places(draw, *shape), 10000.0, interleaved) for shape in ((4,), (4, 4))]
    calls += [(draw(4, 4), places(draw, 4), 10000.0, interleaved)]
    calls += [(draw(3, 3, 3, 6), places(draw, *shape), 10000.0, interleaved) for shape in ((3,), (3, 3))]
    close_each(learner.apply_rope.several(*calls), [rope(*call) for call in calls], tolerance=WORK)


def test_left_padding(learner, draw):
    """padded rows repeat a position, and each row of a batch starts elsewhere"""
    positions = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [0, 0, 1, 2, 3]])
    x = draw(3, 2, 5, 8)
    close(learner.apply_rope.ahead(x, positions), rope(x, positions), tolerance=WORK)


def test_a_single_new_token(learner, draw):
    """a token after a cache is turned by its position in the whole sequence"""
    calls = [(draw(2, 3, 1, 8), torch.tensor([place])) for place in (1, 7, 12)]
    calls += [(draw(2, 3, 1, 8), torch.tensor([[9], [4]]))]
    close_each(learner.apply_rope.several(*calls), [rope(*call) for call in calls], tolerance=WORK)


# ------------------------------------------------------------------------------------------------ dtypes


@in_each_layout
@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_numbers_in_each_dtype(learner, draw, dtype, interleaved):
    """the numbers are right in float16, bfloat16 and float32"""
    x, positions = draw(2, 3, 5, 8).to(dtype), places(draw, 2, 5)
    wanted = rope(x.double(), positions, 10000.0, interleaved).to(dtype)
    close(learner.apply_rope.ahead(x, positions, 10000.0, interleaved), wanted, tolerance=HALF[dtype])


@pytest.mark.parametrize("place", [2048, 8192, 131064], ids="from {}".format)
def test_large_positions(learner, draw, place):
    """positions up to 131,071 are told apart"""
    # with one pair the angle is the position, which float32 has exactly
    given = draw(2, 8, 2), torch.arange(place, place + 8)
    close(learner.apply_rope.ahead(*given), rope(*given), tolerance=WORK)


@pytest.mark.parametrize("dtype", list(HALF)[:2], ids=short)
def test_large_positions_in_half_precision(learner, draw, dtype):
    """positions up to 131,071 are told apart in float16 and bfloat16"""
    # half precision has the exponents of 64 features, and not those of 6
    for size in (64, 6):
        x, positions = draw(2, 6, size).to(dtype), torch.tensor([2049, 4099, 8193, 20001, 65541, 131071])
        wanted = rope(x.double(), positions).to(dtype)
        close(learner.apply_rope.ahead(x, positions), wanted, tolerance=FAR)


def test_large_positions_in_float32(learner, draw):
    """positions up to 131,071 are told apart in float32"""
    x, positions = draw(2, 6, 2).float(), torch.tensor([2049, 4099, 8193, 20001, 65541, 131071])
    close(learner.apply_rope.ahead(x, positions), rope(x, positions), tolerance=WORK)


# ------------------------------------------------------------------------------- inputs as they come


@in_each_layout
def test_inputs_are_not_modified(learner, draw, interleaved):
    """x and positions are not modified"""
    for x, positions in ((draw(2, 3, 5, 4), places(draw, 5)), (draw(2, 3, 5, 4).float(), places(draw, 2, 5))):
        _, after, _ = learner.apply_rope.echo(x, positions, 10000.0, interleaved)
        for name, was, now in zip(("x", "positions"), (x, positions), after, strict=False):
            holds(was.shape == now.shape, f"{name} changed its shape", str(tuple(was.shape)), str(tuple(now.shape)))
            holds(
                torch.equal(was, now) and was.dtype == now.dtype,
                f"{name} was modified in place",
                "as it was",
                "other numbers",
            )


@in_each_layout
def test_strides_do_not_matter(learner, draw, interleaved):
    """heads that were split off, parts of a fused projection and expanded inputs are taken as they are"""
    fused = draw(2, 5, 3 * 12).view(2, 5, 3, 3, 4)
    inputs = [
        (draw(2, 5, 3, 8).transpose(1, 2), places(draw, 5, 2).T),
        (fused[:, :, 1].transpose(1, 2), places(draw, 10)[::2]),
        (draw(1, 1, 5, 4).expand(2, 3, 5, 4), places(draw, 1).expand(5)),
        (draw(2, 3, 8, 5).transpose(2, 3), places(draw, 1, 5).expand(2, 5)),
    ]
    for x, positions in inputs:
        asked = learner.apply_rope.ahead(x, positions, 10000.0, interleaved)
        close(asked, rope(x, positions, 10000.0, interleaved), tolerance=WORK)


# -------------------------------------------------------------------------------------------- gradients


def gradient_agrees(learner, cotangent, x, positions, interleaved=False, tolerance=WORK):
    """The gradient of x is the cotangent, turned back."""
    asked = learner.apply_rope.backward(cotangent, x, positions, 10000.0, interleaved)
    leaf = x.detach().double().requires_grad_()
    (rope(leaf, positions, 10000.0, interleaved) * cotangent.double()).sum().backward()
    got = asked.wait().inputs[0]
    reached(got, "x")
    close(got, leaf.grad.to(x.dtype), "the gradient of x", tolerance=tolerance)


@in_each_layout
def test_gradients(learner, draw, interleaved):
    """the gradients are right"""
    # what comes back from the operation behind may be transposed
    for cotangent in (draw(2, 3, 5, 8), draw(2, 3, 8, 5).mT):
        gradient_agrees(learner, cotangent, draw(2, 3, 5, 8), places(draw, 5), interleaved)


def test_gradients_of_batched_positions(learner, draw):
    """the gradients are right where each batch entry has positions of its own"""
    gradient_agrees(learner, draw(2, 3, 5, 6), draw(2, 3, 5, 6), places(draw, 2, 5))


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_gradients_in_each_dtype(learner, draw, dtype):
    """the gradients are right in float16, bfloat16 and float32"""
    x, cotangent = draw(3, 5, 8).to(dtype), draw(3, 5, 8).to(dtype)
    gradient_agrees(learner, cotangent, x, places(draw, 5) + 300, tolerance=2 * HALF[dtype])


# -------------------------------------------------------------------------------------------------- use


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    changed = learner.apply_rope.changes(draw(2, 3, 5, 4), torch.arange(5))
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_calls_do_not_depend_on_each_other(learner, draw):
    """sizes, positions, bases and layouts may change from call to call, in the same memory too"""
    calls = [
        (draw(3, 5, 8), places(draw, 5), 10000.0, False),
        (draw(3, 5, 8), places(draw, 5), 10000.0, False),
        (draw(3, 5, 8), places(draw, 5), 10000.0, True),
        (draw(3, 5, 8), places(draw, 5), 100.0, False),
        (draw(3, 5, 4), places(draw, 5), 10000.0, False),
        (draw(2, 3, 7, 8), places(draw, 2, 7), 10000.0, False),
        (draw(3, 5, 8).float(), places(draw, 5), 10000.0, False),
    ]
    close_each(learner.apply_rope.several(*calls), [rope(*call) for call in calls], tolerance=WORK)
    calls = [(draw(3, 5, 8), places(draw, 5)) for _ in range(3)]
    wanted = [rope(*call) for call in calls]
    close_each(learner.apply_rope.several(*calls, reuse=True), wanted, tolerance=WORK)


def test_each_output_is_its_own(learner, draw):
    """each call returns a tensor of its own: what is written into one shows in no other"""
    calls = [(draw(3, 5, 8), place) for place in (torch.arange(5), torch.zeros(5, dtype=torch.int64), torch.arange(5))]
    close_each(learner.apply_rope.several(*calls, spoil=True), [rope(*call) for call in calls], tolerance=WORK)


def test_arguments_by_keyword(learner, draw):
    """the arguments are named x, positions, base and interleaved"""
    x, positions = draw(3, 5, 8), places(draw, 5)
    asked = learner.apply_rope.ahead(x=x, positions=positions, base=100.0, interleaved=True)
    close(asked, rope(x, positions, 100.0, True), tolerance=WORK)


# ------------------------------------------------------------------------------------ precision, errors


@in_each_layout
def test_float64_precision(learner, draw, interleaved):
    """float64 in, float64 precision out"""
    near, far = places(draw, 2, 5), torch.tensor([[11, 703, 8193, 50001, 131071]] * 2)
    # float32 has no 1234.1
    for positions, base in ((near, 10000.0), (far, 10000.0), (far, 1234.1)):
        x = draw(2, 3, 5, 6)
        asked = learner.apply_rope.ahead(x, positions, base, interleaved)
        precise(asked, rope(x, positions, base, interleaved), work="the angles")


@on_arrival
def last_precise(got, wanted):
    """The last of several calls gives float64 numbers."""
    precise(got[-1], wanted, work="the angles")


def test_float64_precision_after_float32(learner, draw):
    """a float32 call leaves nothing to a float64 call behind it"""
    x, positions = draw(2, 3, 5, 14), torch.tensor([11, 23, 47, 60, 97])
    last_precise(learner.apply_rope.several((x.float(), positions), (x, positions)), rope(x, positions))


@pytest.mark.parametrize("size", [1, 3, 7], ids="E={}".format)
@in_each_layout
def test_an_odd_head_dim_is_refused(learner, draw, size, interleaved):
    """an odd E raises ValueError"""
    x = draw(2, size)
    call = f"apply_rope(x {tuple(x.shape)})"
    raises("ValueError", lambda: learner.apply_rope(x, torch.arange(2), 10000.0, interleaved), call)
