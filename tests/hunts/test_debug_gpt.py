"""The small GPT: what counts as a mended bug and what does not, and what people get wrong in the second part."""

import pytest

from grading.examination.hunting import SOUND, Known
from grading.examination.plants import planted, plants
from grading.hunts import by_stem

HUNT = by_stem()["debug_gpt"]
SEED = 11

# bug -> other texts that mend it than the right program's, for the text that was planted
OTHER_WAYS = [
    ("scale-by-width", {"/ math.sqrt(d_model)": "* self.head_dim**-0.5"}),
    ("scale-by-width", {"scores = query @": "scores = query * (d_model / self.head_dim) ** 0.5 @"}),
    ("mask-multiplied", {"scores * allowed": "torch.where(allowed, scores, torch.finfo(scores.dtype).min)"}),
    ("mask-multiplied", {"scores * allowed": "scores + torch.zeros_like(scores).masked_fill(~allowed, -1e30)"}),
    (
        "mask-after-softmax",
        {
            "weights = weights.masked_fill(~allowed, 0.0)": "weights = weights * allowed\n"
            "        weights = weights / weights.sum(dim=-1, keepdim=True)"
        },
    ),
    ("mask-one-late", {"torch.ones(": "~torch.ones(", ".tril(diagonal=1)": ".triu(diagonal=1)"}),
    ("softmax-over-queries", {"scores.softmax(dim=-2)": "F.softmax(scores, 3)"}),
    (
        "heads-viewed",
        {"x.reshape(batch, self.num_heads, length, self.head_dim)": "torch.stack(x.chunk(self.num_heads, -1), 1)"},
    ),
    ("heads-merged", {"mixed.reshape(": "torch.cat(mixed.unbind(dim=1), dim=-1).view("}),
    (
        "dropout-always",
        {
            "self.dropout = dropout": "self.dropout = nn.Dropout(dropout)",
            "F.dropout(weights, self.dropout)": "self.dropout(weights)",
        },
    ),
    (
        "dropout-always",
        {
            "        weights = F.dropout(weights, self.dropout)": "        if self.training:\n"
            "            weights = F.dropout(weights, self.dropout)"
        },
    ),
    ("weights-detached", {"weights.detach() @ value": "torch.einsum('bhls,bhse->bhle', weights, value)"}),
    ("no-residual", {"return self.mlp(self.norm_2(x))": "y = self.mlp(self.norm_2(x))\n        return y + x"}),
    (
        "positions-forgotten",
        {"x = self.tokens(tokens)": "x = self.tokens(tokens) + self.positions.weight[: tokens.size(1)]"},
    ),
    ("last-norm-forgotten", {"return self.head(x)": "x = self.norm(x)\n        return self.head(x)"}),
    (
        "head-copied",
        {"self.head.weight.data = self.tokens.weight.data.clone()": "self.tokens.weight = self.head.weight"},
    ),
    (
        "head-copied",
        {
            "        self.head = nn.Linear(d_model, vocabulary, bias=False)\n": "",
            "        self.head.weight.data = self.tokens.weight.data.clone()\n": "",
            "self.head(self.norm(x))": "self.norm(x) @ self.tokens.weight.T",
        },
    ),
    (
        "blocks-shared",
        {
            "[Block(d_model, num_heads, dropout)] * num_layers": "[]",
            "        self.norm = nn": "        for _ in range(num_layers):\n"
            "            self.blocks.append(Block(d_model, num_heads, dropout))\n        self.norm = nn",
        },
    ),
    ("embeddings-wide", {"isinstance(module, nn.Linear):": "isinstance(module, (nn.Embedding, nn.Linear)):"}),
    (
        "labels-not-shifted",
        {"logits = self(tokens)": "logits = self(tokens[:, :-1])", "labels = tokens": "labels = tokens[:, 1:]"},
    ),
    (
        "loss-over-positions",
        {
            "log_probs = logits.log_softmax(dim=1)": "return F.cross_entropy(logits.flatten(0, 1), labels.flatten())",
            "        return -log_probs.gather(-1, labels[..., None]).mean()\n": "",
        },
    ),
    (
        "gradients-kept",
        {"        self.optimizer.step()\n": "        self.optimizer.step()\n        self.optimizer.zero_grad()\n"},
    ),
    (
        "gradients-kept",
        {
            "        loss.backward()": "        for each in self.parameters():\n            each.grad = None\n"
            "        loss.backward()"
        },
    ),
    (
        "optimizer-early",
        {
            "        self.optimizer = torch.optim.AdamW(self.parameters(), lr=lr)\n": "",
            "self.head.weight = self.tokens.weight\n": "self.head.weight = self.tokens.weight\n"
            "        groups = [{'params': list(self.parameters())}]\n"
            "        self.optimizer = torch.optim.AdamW(groups, lr=lr)\n",
        },
    ),
]

# bug, what is tried, whether it counts as found, whether the rest is as it was or right
NOT_MENDED = [
    ("scale-by-width", {"math.sqrt(d_model)": "self.head_dim"}, False, False),
    ("scale-by-width", {" / math.sqrt(d_model)": ""}, False, False),
    ("mask-one-late", {"diagonal=1": "diagonal=-1"}, False, False),
    ("mask-after-softmax", {"weights.masked_fill(~allowed, 0.0)": "weights"}, False, False),
    ("softmax-over-queries", {"dim=-2": "dim=1"}, False, False),
    ("dropout-always", {"weights = F.dropout(weights, self.dropout)": "pass"}, False, False),
    ("norm-after", {"self.norm_1(x + self.attention(x))": "x + self.attention(x)"}, True, False),
    (
        "positions-forgotten",
        {"x = self.tokens(tokens)": "x = self.tokens(tokens) + self.positions(places + 1)"},
        False,
        False,
    ),
    ("head-copied", {"        self.head.weight.data = self.tokens.weight.data.clone()\n": ""}, False, True),
    (
        "labels-not-shifted",
        {"logits = self(tokens)": "logits = self(tokens)[:, :-2]", "labels = tokens": "labels = tokens[:, 2:]"},
        False,
        False,
    ),
    (
        "gradients-kept",
        {"        self.optimizer.step()": "        self.optimizer.zero_grad()\n        self.optimizer.step()"},
        False,
        False,
    ),
    (
        "gradients-kept",
        {
            "        self.optimizer.step()": "        self.optimizer.zero_grad(set_to_none=False)\n"
            "        self.optimizer.step()"
        },
        False,
        False,
    ),
    ("no-residual", {"": ""}, False, True),
    ("no-residual", {"self.norm_1": "self.first_norm"}, False, False),
    ("no-residual", {"std=0.02": "std=0.05"}, False, False),
    ("no-residual", {"        return loss.item()": ""}, False, False),
]

ENDED_IN_THE_PROMPT = "ended = (prompt == end).any(dim=1, keepdim=True) if end is not None else None"

# check of the second part that fails first, and what is done otherwise
SECOND = [
    ("a_pair_comes_back", {"return self.head(self.norm(x)), kept": "return self.head(self.norm(x))"}),
    ("the_loss_is_as_before", {"self(tokens)[0][:, :-1]": "self(tokens)[:, :-1]"}),
    ("one_token_at_a_time", {"torch.arange(earlier, earlier + tokens.size(1)": "torch.arange(0, tokens.size(1)"}),
    ("one_token_at_a_time", {".tril(diagonal=earlier)": ".tril()"}),
    ("one_token_at_a_time", {"torch.cat([past[1], value], dim=-2)": "torch.cat([value, past[1]], dim=-2)"}),
    (
        "any_split",
        {
            ".tril(diagonal=earlier)": ".tril(diagonal=earlier) if past is None else "
            "torch.ones(length, earlier + length, dtype=torch.bool)"
        },
    ),
    (
        "several_sequences",
        {"torch.cat([past[0], key], dim=-2)": "torch.cat([past[0][:1].expand_as(past[0]), key], dim=-2)"},
    ),
    ("greedy", {"logits[:, -1:].argmax(dim=-1)": "logits[:, :1].argmax(dim=-1)"}),
    ("greedy_for_several", {"torch.cat([prompt, fed], dim=1)": "torch.cat([prompt, fed[:1].expand_as(fed)], dim=1)"}),
    ("the_end_of_one_sequence", {"fed = fed.masked_fill(ended, end)": "fed = fed"}),
    ("the_end_of_one_sequence", {"ended = ended | (fed == end)": "ended = ended | (fed == end).any()"}),
    (
        "the_end_of_one_sequence",
        {"ended = torch.zeros(prompt.size(0), 1, dtype=torch.bool, device=prompt.device)": ENDED_IN_THE_PROMPT},
    ),
    ("no_dropout_in_generate", {"        self.eval()\n": ""}),
    ("no_dropout_in_generate", {"        self.train(training)\n": ""}),
    ("a_step_reads_one_token", {"self(fed, cache)": "self(prompt)"}),
]


def changed(text, changes):
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def known():
    with Known(HUNT, SEED) as known:
        yield known


@pytest.fixture(scope="module")
def second():
    with Known(HUNT.second, SEED) as known:
        yield known


def counted(known, text, keys):
    with known.program(text) as program:
        return {check.name: check.outcome == "passed" for check in known.hunted(program, keys)}


@pytest.mark.parametrize(("key", "changes"), OTHER_WAYS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bug_may_be_mended_in_another_way(known, key, changes):
    assert counted(known, changed(planted(HUNT, [key]), changes), [key]) == {key: True, SOUND: True}


def test_every_bug_is_mended_in_another_way_or_in_the_only_one():
    only = {"norm-after", "activation-late", "labels-shifted-twice"}
    assert {key for key, _ in OTHER_WAYS} | only == set(plants(HUNT))


@pytest.mark.parametrize(("key", "changes", "found", "sound"), NOT_MENDED)
def test_what_does_not_mend_it_does_not_pass(known, key, changes, found, sound):
    assert counted(known, changed(planted(HUNT, [key]), changes), [key]) == {key: found, SOUND: sound}


@pytest.mark.parametrize(("first", "changes"), SECOND)
def test_what_people_get_wrong_in_the_second_part_fails_its_check_first(second, first, changes):
    with second.program(changed(HUNT.second.reference, changes)) as program:
        failed = [check.name for check in second.second(program) if check.outcome == "failed"]
    assert failed[:1] == [first]
