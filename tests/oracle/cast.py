"""Cast from its definition: cut towards zero, wrap to the width."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.cast import Cast
from tests.ops.grids import Case, codes, decoded, kind, reals, shape
from tests.oracle.singles import Index, at, every, exact, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """Between integers and float32, any way."""
    while True:
        x = shape(rng, 3)
        source = rng.choice(["int8", "uint8", "int16", "int32", "float32"])
        target = rng.choice(["int8", "uint8", "int16", "int32", "float32"])
        values = (
            reals(rng, x, 10 ** rng.uniform(0, 4))
            if source == "float32"
            else (codes(rng, x, source))
        )
        types = (kind(x, source),)
        yield decoded("cast", {}, types, kind(x, target)), types, (values,)


def oracle(operator: Cast, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """The value in the other dtype."""
    (x,) = inputs
    flat: list[float] = []
    for index in every(shape_of(x)):
        value = at(x, index)
        if operator.dtype == "float32":
            flat.append(float(single(exact(value))))
            continue
        bits = int(operator.dtype.removeprefix("u").removeprefix("int"))
        wrapped = int(value) % 2**bits
        signed = not operator.dtype.startswith("u")
        flat.append(wrapped - 2**bits if signed and wrapped >= 2 ** (bits - 1) else wrapped)
    return flat, shape_of(x)
