"""LSTM over a sequence: int16 gates and cell state, int8 or int16 activations, int8 weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

import numpy as np

from simulator.decode import (
    DTYPE_RANGE,
    constant,
    optional,
    present,
    product_scale,
    refuse,
    require_dtypes,
    single_grid,
)
from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Array, Source, TensorType
from simulator.mac import AccumulatingOperator, Sums
from simulator.numeric.datapath import Datapath
from simulator.numeric.dialect import Rule
from simulator.numeric.recurrent import GATE_POWER, add_saturating, evaluate
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.recurrent import weighted_product, weighted_sums
from simulator.registry import register
from simulator.work import Work

# Gates in the order of the inputs: input, forget, cell, output.
INPUT_WEIGHTS: Final = (1, 2, 3, 4)
HIDDEN_WEIGHTS: Final = (5, 6, 7, 8)
BIASES: Final = (12, 13, 14, 15)
HIDDEN_STATE: Final = 18
CELL_STATE: Final = 19
GATES: Final = ("input", "forget", "cell", "output")
ROLES: Final = (
    "input",
    *(f"{gate}_gate_from_input_weights" for gate in GATES),
    *(f"{gate}_gate_from_hidden_weights" for gate in GATES),
    *(f"{gate}_peephole_weights" for gate in ("input", "forget", "output")),
    *(f"{gate}_gate_bias" for gate in GATES),
    *("projection_weights", "projection_bias", "hidden_state", "cell_state"),
)
_REFUSED: Final = {
    "peephole weights": (9, 10, 11),
    "a projection": (16, 17),
    "layer normalization": (20, 21, 22, 23),
}
GATE_SCALE: Final = 2.0**GATE_POWER
FUNCTION_SCALE: Final = 2.0**-15
ELEMENTWISE_PER_CELL: Final = 5 * 40 + 6
"""ALU operations a cell and step: five logistics or tanhs of about 40 multiplies, shifts and adds
(exponential, three Newton steps), four saturating additions, two clips."""
LOOKUPS_PER_CELL: Final = 5 * 2
"""Entries a cell and step where the five functions are interpolated in a table."""


@dataclass(frozen=True)
class Products:
    """The elementwise products of a step: forget * cell, input * candidate, output * tanh(cell)."""

    forget: Requantize
    candidate: Requantize
    hidden: Requantize


@register
@final
@dataclass(frozen=True)
class UnidirectionalSequenceLstm(AccumulatingOperator):
    """c = f * c + i * g; h = o * tanh(c), each gate a function of W x + R h + b, step by step.

    i, f and o are logistics, g a tanh, all Q0.15 of Q3.12 sums that saturate at 16 bits. Inputs as
    in TFLite: x (batch, time, n) or (time, batch, n) if `time_major`, four W (cells, n), four R
    (cells, cells), four b (cells), h (batch, cells) and c (batch, cells, int16, scale
    2^cell_power), the last two variables. Output: h of every step.
    """

    kind = "unidirectional_sequence_lstm"
    formats = ("tflite:UNIDIRECTIONAL_SEQUENCE_LSTM",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, lstm_eval.cc 8x8_16; TFLM lstm_eval.h; CMSIS-NN s8, s16"
    fixed_widths = "its gates and its cell state have widths of their own"
    updates = (HIDDEN_STATE, CELL_STATE)
    roles = ROLES

    time_major: bool
    form: str
    input_zero_point: int
    hidden_zero_point: int
    from_input: tuple[Requantize, ...]
    from_hidden: tuple[Requantize, ...]
    products: Products
    cell_power: int
    cell_clip: int
    accumulator_bits: int
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Form `gemmlowp` (LiteRT), `table` (TFLM) or `table_fused` (CMSIS-NN).

        LiteRT derives the products' scales apart. TFLM clamps every product to 16 bits before it
        is added, the others the sums alone.
        """
        place = source.place
        require_dtypes(place, source.inputs[:1], ("int8", "int16"))
        _refuse_variants(source)
        x_scale, x_zero = single_grid(source.inputs[0], place, "the input")
        hidden = optional(source.inputs, HIDDEN_STATE)
        h_scale, h_zero = single_grid(hidden, place, "the output state")
        c_scale, _ = single_grid(optional(source.inputs, CELL_STATE), place, "the cell state")
        power = math.log2(c_scale)
        if power != int(power):
            refuse(place, "the cell state's scale must be a power of two", c_scale, "Re-export it.")
        dtype = source.outputs[0].dtype
        form = source.dialect.form(cls.kind, "gemmlowp")
        _check_form(place, form, dtype, int(power))
        rule = source.dialect.rule(cls.kind, dtype)
        reach = DTYPE_RANGE["int16" if form == "table" else "int32"]
        return cls(
            time_major=bool(source.options["time_major"]),
            form=form,
            input_zero_point=x_zero,
            hidden_zero_point=h_zero,
            from_input=_gates(source, INPUT_WEIGHTS, x_scale, rule, DTYPE_RANGE["int16"]),
            from_hidden=_gates(source, HIDDEN_WEIGHTS, h_scale, rule, reach),
            products=_products(source, form, c_scale, (h_scale, h_zero), reach),
            cell_power=int(power),
            cell_clip=_clip(source.options.get("cell_clip", 0.0), c_scale),
            accumulator_bits=32 if dtype == "int8" else 64,
            dtype=dtype,
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse shapes and dtypes that do not fit the input and the states."""
        x, hidden, cell = (present(inputs, i) for i in (0, HIDDEN_STATE, CELL_STATE))
        if len(x.shape) != 3:
            raise IllegalGraph(f"the input must have 3 dimensions; found {x.shape}")
        cells, n = present(inputs, INPUT_WEIGHTS[0]).shape[:1], x.shape[2:]
        wanted = {
            **dict.fromkeys(INPUT_WEIGHTS, (*cells, *n)),
            **dict.fromkeys(HIDDEN_WEIGHTS, (*cells, *cells)),
            **dict.fromkeys(BIASES, cells),
            **dict.fromkeys(self.updates, (x.shape[0 if not self.time_major else 1], *cells)),
        }
        for index, shape in wanted.items():
            kind = optional(inputs, index)
            if kind is not None and kind.shape != shape:
                raise IllegalGraph(f"input {index} must have shape {shape}; found {kind.shape}")
        if (x.dtype, hidden.dtype, cell.dtype) != (self.dtype, self.dtype, "int16"):
            raise IllegalGraph(
                f"input and output state must be {self.dtype}, the cell state int16; found "
                f"{x.dtype}, {hidden.dtype}, {cell.dtype}"
            )

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape with one value a cell, and the states'."""
        hidden, cell = present(inputs, HIDDEN_STATE).shape, present(inputs, CELL_STATE).shape
        return (*present(inputs, 0).shape[:2], hidden[1]), hidden, cell

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """The input's share of every gate at once, then step by step."""
        x, hidden, cell = (present(inputs, i) for i in (0, HIDDEN_STATE, CELL_STATE))
        steps = np.ascontiguousarray(x if self.time_major else x.swapaxes(0, 1))
        time, batch, n = steps.shape
        shares = [
            self._share(steps.reshape(-1, n), inputs, gate, datapath).reshape(time, batch, -1)
            for gate in range(4)
        ]
        out = np.empty((time, *hidden.shape), dtype=self.dtype)
        for t in range(time):
            hidden, cell = self._step([s[t] for s in shares], hidden, cell, inputs, datapath)
            out[t] = hidden
        return (out if self.time_major else out.swapaxes(0, 1).copy(), hidden, cell)

    def sums(
        self, inputs: Sequence[Array | None], results: Sequence[Array], *, folded: bool
    ) -> tuple[Sums, ...]:
        """Two a gate, from the input and from the hidden state; rows by time, then batch."""
        x, before, out = present(inputs, 0), present(inputs, HIDDEN_STATE), results[0]
        if not self.time_major:
            x, out = x.swapaxes(0, 1), out.swapaxes(0, 1)
        rows = x.reshape(-1, x.shape[2])
        hidden = np.concatenate([before[None], out[:-1]]).reshape(-1, before.shape[1])
        bits, found = self.accumulator_bits, []
        for g, gate in enumerate(GATES):
            w, bias = present(inputs, INPUT_WEIGHTS[g]), optional(inputs, BIASES[g])
            taken = weighted_product(rows, self.input_zero_point, w, bias, folded=folded)
            name, pair = f"{gate}_gate_from_input", (0, INPUT_WEIGHTS[g])
            found.append(Sums(name, pair, (taken,), self.from_input[g], bits, "int16"))
            r = present(inputs, HIDDEN_WEIGHTS[g])
            fed_back = weighted_product(hidden, self.hidden_zero_point, r, None, folded=folded)
            name, pair = f"{gate}_gate_from_hidden", (HIDDEN_STATE, HIDDEN_WEIGHTS[g])
            found.append(Sums(name, pair, (fed_back,), self.from_hidden[g], bits, "int32"))
        return tuple(found)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = batch time 4 cells (n + cells)."""
        x, hidden, cell = (present(inputs, i) for i in (0, HIDDEN_STATE, CELL_STATE))
        cells, steps = hidden.shape[1], x.shape[0] * x.shape[1]
        weights = [present(inputs, i) for i in (*INPUT_WEIGHTS, *HIDDEN_WEIGHTS)]
        biases = [k for i in BIASES if (k := optional(inputs, i)) is not None]
        return Work(
            n=steps,
            oc=4 * cells,
            ky=1,
            kx=1,
            ic=x.shape[2] + cells,
            weight_bits=weights[0].bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements + hidden.elements + cell.elements * cell.bits // x.bits,
            weight_elements=sum(w.elements for w in weights),
            bias_elements=sum(b.elements for b in biases),
            output_elements=outputs[0].elements,
            elementwise=ELEMENTWISE_PER_CELL * steps * cells,
            lookups=0 if self.form == "gemmlowp" else LOOKUPS_PER_CELL * steps * cells,
            requantizations=(8 + 3) * steps * cells,
        )

    def _share(
        self, x: Array, inputs: Sequence[Array | None], gate: int, datapath: Datapath
    ) -> Array:
        """W x + b of one gate on its Q3.12 grid: int16 (rows, cells)."""
        w, bias = present(inputs, INPUT_WEIGHTS[gate]), optional(inputs, BIASES[gate])
        bits = self.accumulator_bits
        sums = weighted_sums(x, self.input_zero_point, w, bias, datapath, bits)
        return requantize_array(sums, self.from_input[gate], "int16")

    def _step(
        self,
        shares: Sequence[Array],
        hidden: Array,
        cell: Array,
        inputs: Sequence[Array | None],
        datapath: Datapath,
    ) -> tuple[Array, Array]:
        """The next hidden and cell state."""
        bits, gates = self.accumulator_bits, []
        for share, index, by in zip(shares, HIDDEN_WEIGHTS, self.from_hidden, strict=True):
            r = present(inputs, index)
            sums = weighted_sums(hidden, self.hidden_zero_point, r, None, datapath, bits)
            gates.append(add_saturating(requantize_array(sums, by, "int32"), share))
        i, f, o = (evaluate("logistic", self.form, gates[k], GATE_POWER) for k in (0, 1, 3))
        g = evaluate("tanh", self.form, gates[2], GATE_POWER)
        cell = add_saturating(
            _multiply(f, cell, self.products.forget, "int32"),
            _multiply(i, g, self.products.candidate, "int32"),
        )
        if self.cell_clip > 0:
            cell = np.clip(cell, np.int16(-self.cell_clip), np.int16(self.cell_clip))
        tanh_c = evaluate("tanh", self.form, cell, self.cell_power)
        return _multiply(o, tanh_c, self.products.hidden, self.dtype), cell


def _multiply(a: Array, b: Array, by: Requantize, dtype: str) -> Array:
    return requantize_array(a.astype(np.int32) * b.astype(np.int32), by, dtype)


def _refuse_variants(source: Source) -> None:
    """Refuse what no kernel here computes, and weights computed at run time."""
    for what, indices in _REFUSED.items():
        if any(optional(source.inputs, i) is not None for i in indices):
            raise Unsupported(f"{source.place}: {what} in an LSTM is not supported; unroll it.")
    if optional(source.inputs, INPUT_WEIGHTS[0]) is None:
        raise Unsupported(
            f"{source.place}: coupled input and forget gates are not supported; unroll it."
        )
    activation = source.options.get("fused_activation_function", "TANH")
    if activation != "TANH":
        refuse(source.place, "the activation must be TANH", activation, "Export it so.")
    for index in (*INPUT_WEIGHTS, *HIDDEN_WEIGHTS):
        constant(source, index, "weights")
        require_dtypes(source.place, source.inputs[index : index + 1], ("int8",))


def _check_form(place: str, form: str, dtype: str, cell_power: int) -> None:
    """Refuse what the runtime of this form does not have."""
    if form == "gemmlowp" and dtype != "int8":
        refuse(place, "LiteRT's LSTM is int8", dtype, "Run it as tflm or cmsis-nn.")
    if form == "gemmlowp" and not -15 <= cell_power <= -9:
        way_out = "Re-export it, or run it as tflm."
        refuse(place, "the cell state's scale must be 2^-15 to 2^-9", 2.0**cell_power, way_out)


def _gates(
    source: Source, indices: Sequence[int], scale: float, rule: Rule, reach: tuple[int, int]
) -> tuple[Requantize, ...]:
    """How the products of one operand with each gate's weights come onto the Q3.12 grid."""
    made = []
    for index in indices:
        w_scale, w_zero = single_grid(source.inputs[index], source.place, f"input {index}")
        if w_zero:
            raise IllegalGraph(f"{source.place}: LSTM weights need zero point 0; found {w_zero}")
        real = product_scale(rule.scale, scale, w_scale, GATE_SCALE)
        made.append(make_requantize(rule.rounding, (real,), 0, *reach))
    return tuple(made)


def _products(
    source: Source,
    form: str,
    c_scale: float,
    hidden: tuple[float, int],
    reach: tuple[int, int],
) -> Products:
    """Rescaling of the three products; LiteRT divides the first two by powers of two."""
    kind, int16 = UnidirectionalSequenceLstm.kind, DTYPE_RANGE["int16"]
    candidate = FUNCTION_SCALE * FUNCTION_SCALE / c_scale
    bounds = DTYPE_RANGE[source.outputs[0].dtype]
    # The products are rescaled as 8-bit sums are, whatever the activations.
    rounding = source.dialect.rule(kind, "int8").rounding
    if form == "gemmlowp":
        grid = source.intermediates[4] if len(source.intermediates) > 4 else source.outputs[0]
        h_scale, h_zero = single_grid(grid, source.place, "the hidden intermediate")
        real = float(np.float32(FUNCTION_SCALE / h_scale * FUNCTION_SCALE))
        # A quotient by a power of two, ties away, is exact as a double.
        return Products(
            make_requantize("float64_away", (FUNCTION_SCALE,), 0, *int16),
            make_requantize("float64_away", (candidate,), 0, *int16),
            make_requantize(rounding, (real,), h_zero, *bounds),
        )
    real = FUNCTION_SCALE * FUNCTION_SCALE / hidden[0]
    return Products(
        make_requantize(rounding, (FUNCTION_SCALE * c_scale / c_scale,), 0, *int16),
        make_requantize(rounding, (candidate,), 0, *reach),
        make_requantize(rounding, (real,), hidden[1], *bounds),
    )


def _clip(cell_clip: float, c_scale: float) -> int:
    """The cell state's bound in its own steps, truncated; 0 for none."""
    return int(min(cell_clip / c_scale, 32767.0)) if cell_clip > 0 else 0
