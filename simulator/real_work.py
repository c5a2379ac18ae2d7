"""Which scalar operations of an operator are on real numbers, by the dtypes of its tensors."""

from collections.abc import Iterable
from dataclasses import replace

from simulator.graph import TensorType
from simulator.work import Work


def computes_reals(tensors: Iterable[TensorType | None]) -> bool:
    """Whether one of the tensors holds floating-point numbers."""
    return any(t is not None and t.dtype.startswith("float") for t in tensors)


def on_reals(work: Work, multiplications: int, integers: int) -> Work:
    """The work of an operator on reals, its scalar operations told apart.

    `multiplications` (divisions with them) and `integers` (operations on codes or bits all the
    same) are those of one output element; the rest are additions.
    """
    products = multiplications * work.output_elements
    sums = work.elementwise - products - integers * work.output_elements
    return replace(work, real_multiplications=products, real_additions=sums)
