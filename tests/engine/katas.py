"""The katas that the engine's tests take as examples: chosen by what is to be written in them, not by name."""

from grading.authoring.submissions import FOLDER
from grading.catalog import Catalog

COUNT = len(Catalog().katas)


def writing(symbol: str) -> str:
    """The stem of the kata in which that function or class is to be written."""
    return next(kata.stem for kata in Catalog().katas if symbol in kata.symbols)


def numbered(stem: str) -> str:
    """A kata as the board shows it: number and stem."""
    return f"{Catalog()[stem].number} {stem}"


def name_of(path):
    """A submission as the tests show it: wrong/sdpa/scale."""
    return path.relative_to(FOLDER).with_suffix("").as_posix()


ATTENTION = writing("scaled_dot_product_attention")
MASKS = writing("additive_mask")
HEADS = writing("MultiHeadAttention")
GROUPS = writing("GroupedQueryAttention")
CACHED = writing("CachedGroupedQueryAttention")
ONE_KV_HEAD = writing("MultiQueryAttention")
SAME_TRACK = len([kata for kata in Catalog().katas if kata.track == Catalog()[ATTENTION].track])
