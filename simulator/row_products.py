"""A matrix of weights times rows of activations, whatever the numbers: shapes and work.

Inputs x (..., i) of any rank, weights (o, i), bias (o) or none; the output is (rows, o), or
(..., o) where dimensions are kept.
"""

from math import prod

from simulator.errors import IllegalGraph
from simulator.graph import TensorType
from simulator.work import Work

Shape = tuple[int, ...]


def check_rows(x: TensorType, w: TensorType, bias: TensorType | None, *, keep_dims: bool) -> None:
    """Raise IllegalGraph where weights or bias do not fit the input."""
    if len(w.shape) != 2 or w.shape[1] == 0 or x.elements % w.shape[1]:
        raise IllegalGraph(f"weights {w.shape} do not divide an input of {x.shape}")
    if keep_dims and x.shape[-1:] != w.shape[1:]:
        raise IllegalGraph(f"weights {w.shape} need a last dimension of {w.shape[1]}")
    if bias is not None and bias.shape != (w.shape[0],):
        raise IllegalGraph(f"bias must have shape ({w.shape[0]},); found {bias.shape}")


def rows_shape(x: Shape, w: Shape, *, keep_dims: bool) -> Shape:
    """The shape of the output."""
    return (*x[:-1], w[0]) if keep_dims else (prod(x) // w[1], w[0])


def rows_work(x: TensorType, w: TensorType, bias: TensorType | None, output: TensorType) -> Work:
    """MACs = rows o i; nothing is requantized."""
    return Work(
        n=x.elements // w.shape[1],
        oc=w.shape[0],
        ky=1,
        kx=1,
        ic=w.shape[1],
        weight_bits=w.bits,
        activation_bits=x.bits,
        output_bits=output.bits,
        input_elements=x.elements,
        weight_elements=w.elements,
        bias_elements=0 if bias is None else bias.elements,
        output_elements=output.elements,
    )
