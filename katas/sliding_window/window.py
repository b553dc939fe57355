"""What people do wrong in the mask."""

import math

import torch

from grading.diagnosis.mistake import Mistake
from katas.sliding_window.program import WindowMask


class Band(Mistake, WindowMask):
    see = "sliding_window#The-band"


class Sinks(Mistake, WindowMask):
    see = "sliding_window#Sinks-in-the-mask"


class Form(Mistake, WindowMask):
    see = "sliding_window#The-form-of-the-mask"


class WindowTwoSided(Band):
    """the window is on both sides: a query sees the window - 1 positions after it, too

    What comes next leaks into each position.
    """

    def hide_later(self) -> None:
        self.past = self.ahead > -self.window


class WindowCentred(Band):
    """the window lies around the query: half of it before and half of it after

    What comes next leaks into each position, and what is far back is lost.
    """

    def near(self) -> None:
        self.recent = self.ahead <= self.window // 2

    def hide_later(self) -> None:
        self.past = self.ahead >= -(self.window // 2)


class LaterNotHidden(Band):
    """nothing is hidden that comes later: only what is too far back is

    The window has one edge where it needs two.
    """

    def hide_later(self) -> None:
        self.past = torch.ones_like(self.recent)


class WindowAhead(Band):
    """the window is on the wrong side: a query sees itself and the window - 1 positions after it

    The past is hidden and the future is seen.
    """

    def near(self) -> None:
        self.recent = self.ahead > -self.window

    def hide_later(self) -> None:
        self.past = self.ahead <= 0


class WindowOneTooMany(Band):
    """a query sees `window` positions before itself instead of window - 1

    The query counts in the window, and the comparison is <= instead of <.
    """

    def near(self) -> None:
        self.recent = self.ahead <= self.window


class WindowOneTooFew(Band):
    """a query sees window - 1 positions with itself instead of `window`

    With a window of 1 it sees nothing.
    """

    def near(self) -> None:
        self.recent = self.ahead < self.window - 1


class WindowWithoutItself(Band):
    """a query sees the `window` positions before it, and not itself

    The first position sees nothing.
    """

    def near(self) -> None:
        self.recent = self.ahead <= self.window

    def hide_later(self) -> None:
        self.past = self.ahead > 0


class WindowStrict(WindowWithoutItself):
    """a query sees the window - 1 positions before it, and not itself

    The first position sees nothing.
    """

    def near(self) -> None:
        self.recent = self.ahead < self.window


class WindowIgnored(Band):
    """the window has no effect: a query sees all that came before it

    The mask is the causal one.
    """

    def near(self) -> None:
        self.recent = torch.ones_like(self.ahead, dtype=torch.bool)


class WindowInBlocks(Band):
    """the sequence is cut into blocks of `window` positions, and a query sees its own block

    The first query of a block sees itself alone.
    """

    def near(self) -> None:
        queries = torch.arange(self.first, self.first + self.query_len)[:, None]
        self.recent = queries // self.window == self.keys // self.window


class FarInsteadOfNear(Band):
    """a query sees what is window or more positions before it, and not what is nearer

    The comparison is turned round.
    """

    def near(self) -> None:
        self.recent = self.ahead >= self.window


class WindowTopLeft(Band):
    """the queries are taken for the first of the positions (top-left) and not for the last (bottom-right)

    Right for as many queries as keys; with more keys the queries see only the oldest.
    """

    see = "sliding_window#Queries-are-the-last-positions"

    def align(self) -> None:
        self.first = 0


class _OnlyTheFarEdge(WindowTopLeft):
    def align(self) -> None:
        self.first = self.key_len - self.query_len

    def near(self) -> None:
        self.recent = torch.arange(self.query_len)[:, None] - self.keys < self.window


class _OnlyTheCausalEdge(WindowTopLeft):
    def align(self) -> None:
        self.first = self.key_len - self.query_len

    def hide_later(self) -> None:
        self.past = torch.arange(self.query_len)[:, None] >= self.keys


class WindowOfAllPositions(WindowTopLeft):
    """the mask is (key_len, key_len): the rows of the positions that are not queries are not cut away

    Right for as many queries as keys, of the wrong shape otherwise.
    """

    def align(self) -> None:
        self.query_len, self.first = self.key_len, 0


class SinksNotSeen(Sinks):
    """num_sinks has no effect on the mask: what is not in the window is hidden

    The first tokens take a large part of the weight in trained models; without them the output breaks down.
    """

    def mark_sinks(self) -> None:
        self.sink = torch.zeros_like(self.keys, dtype=torch.bool)


class SinksSeenTooEarly(Sinks):
    """every query sees all sinks, also those that are later than itself

    The first queries see what comes next.
    """

    def combine(self) -> None:
        self.mask = (self.recent & self.past) | self.sink


class SinksCountInTheWindow(Sinks):
    """sinks count in the window: a query sees window - num_sinks positions besides them

    The window is as much shorter as there are sinks.
    """

    def near(self) -> None:
        self.recent = self.ahead < self.window - self.num_sinks


class SinksAndNear(Sinks):
    """a query sees what is near and a sink, instead of what is near or a sink

    Late queries see nothing.
    """

    def combine(self) -> None:
        self.mask = self.recent & self.sink & self.past


class OneSinkTooMany(Sinks):
    """num_sinks + 1 positions are sinks instead of num_sinks

    Without sinks the first position is one.
    """

    def mark_sinks(self) -> None:
        self.sink = self.keys <= self.num_sinks


class OneSinkTooFew(Sinks):
    """num_sinks - 1 positions are sinks instead of num_sinks

    The last of them is dropped.
    """

    def mark_sinks(self) -> None:
        self.sink = self.keys < self.num_sinks - 1


class SinksSeenAsQueries(Sinks):
    """the sinks are rows and not columns: the first num_sinks queries see all that came before them

    Later queries do not see the sinks.
    """

    def mark_sinks(self) -> None:
        self.sink = (torch.arange(self.query_len) < self.num_sinks)[:, None]


class WindowMaskInverted(Form):
    """True means hidden instead of may attend

    The mask is the complement of the right one.
    """

    def orient(self) -> None:
        self.mask = ~self.mask


class WindowMaskTransposed(Form):
    """the mask is transposed: its rows are keys and its columns queries

    A key sees the queries that should see it.
    """

    def orient(self) -> None:
        self.mask = self.mask.T


class WindowMaskWithLeadingDimensions(Form):
    """the mask has leading dimensions of 1, (1, L, S) or (1, 1, L, S), instead of being (L, S)

    It broadcasts as before, and it is not the shape that was asked for.
    """

    def shape_mask(self) -> None:
        self.mask = self.mask[None]


class _TwoLeading(WindowMaskWithLeadingDimensions):
    def shape_mask(self) -> None:
        self.mask = self.mask[None, None]


class Cast(Form):
    """Another dtype than bool."""

    grouping = True
    dtype: torch.dtype

    def cast_mask(self) -> None:
        self.mask = self.mask.to(self.dtype)


class WindowMaskNotBool(Cast):
    """the mask has 1 and 0 instead of True and False: its dtype is not bool

    ~mask and masked_fill do not work with it, and adding it changes the scores by 1.
    """

    dtype = torch.float32


class _Int64(WindowMaskNotBool):
    dtype = torch.int64


class _Int32(WindowMaskNotBool):
    dtype = torch.int32


class _UInt8(WindowMaskNotBool):
    dtype = torch.uint8


class WindowMaskAdditive(Form):
    """the mask is the additive form, 0 and -inf, instead of True and False

    It has to be added to scores, and nobody expects that of a boolean mask.
    """

    def cast_mask(self) -> None:
        self.mask = torch.zeros(self.mask.shape).masked_fill(~self.mask, -math.inf)
