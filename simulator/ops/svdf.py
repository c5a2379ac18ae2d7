"""SVDF: a fully connected layer over time, factorised into features and their history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

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
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import AccumulatingOperator, Product, Sums
from simulator.numeric.datapath import Datapath
from simulator.numeric.depthwise import depthwise
from simulator.numeric.matmul import Window, matmul, wraps_in_int32
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.recurrent import weighted_product, weighted_sums
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class Svdf(AccumulatingOperator):
    """y[u] = clamp(requantize(b[u] + sum over rank r and time m of wt[ur, m] s[ur, m]) + zy).

    s[f, 0 .. m-1] is the history of feature f, the newest last; each run drops the oldest and
    appends clamp(requantize(sum over i of wf[f, i] (x[i] - zx))). Inputs x (n, i), wf (f, i),
    wt (f, m), bias (u) or none, and the state, a variable (n, f m). The fused activation is not
    looked at: LiteRT wants RELU, and no reference clamps to less than the whole int8 range.
    """

    kind = "svdf"
    formats = ("tflite:SVDF",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, EvalIntegerSVDF; with int8 state TFLM, svdf_common.cc"
    fixed_widths = "its features, its history and its sums have widths of their own"
    updates = (4,)
    roles = ("input", "feature_weights", "time_weights", "bias", "state")

    rank: int
    input_zero_point: int
    state_dtype: str
    feature: Requantize
    requantize: Requantize

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Scales s_x s_wf / s_state and s_state s_wt / s_y, by the dialect's rule."""
        place = source.place
        require_dtypes(place, source.inputs[:2], ("int8",))
        state = present(source.inputs, 4)
        if state.dtype not in ("int8", "int16"):
            refuse(place, "the state must be int8 or int16", state.dtype, "Quantize the model.")
        constant(source, 1, "the feature weights")
        constant(source, 2, "the time weights")
        x_scale, x_zero = single_grid(source.inputs[0], place, "the input")
        symmetric = {1: "the feature weights", 2: "the time weights", 4: "the state"}
        scales = {}
        for index, what in symmetric.items():
            scales[index], zero = single_grid(source.inputs[index], place, what)
            if zero:
                # LiteRT ignores them; TFLM adds the state's, and where depends on its version.
                refuse(place, f"{what} must have zero point 0", zero, "Quantize it symmetrically.")
        y_scale, y_zero = single_grid(source.outputs[0], place, "the output")
        rule = source.dialect.rule(cls.kind, state.dtype)
        to_state = product_scale(rule.scale, x_scale, scales[1], scales[4])
        to_output = product_scale(rule.scale, scales[4], scales[2], y_scale)
        low, high = DTYPE_RANGE[state.dtype]
        return cls(
            rank=source.options["rank"],
            input_zero_point=x_zero,
            state_dtype=state.dtype,
            feature=make_requantize(rule.rounding, (to_state,), 0, low, high),
            requantize=make_requantize(rule.rounding, (to_output,), y_zero, *DTYPE_RANGE["int8"]),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse shapes that do not fit, and another dtype of output, time weights or state."""
        x, wf, wt, state = (present(inputs, i) for i in (0, 1, 2, 4))
        if len(x.shape) != 2 or len(wf.shape) != 2 or wf.shape[1] != x.shape[1]:
            raise IllegalGraph(f"feature weights {wf.shape} do not fit an input of {x.shape}")
        filters = wf.shape[0]
        if self.rank < 1 or filters % self.rank:
            raise IllegalGraph(f"{filters} filters do not divide into units of rank {self.rank}")
        if len(wt.shape) != 2 or wt.shape[0] != filters:
            raise IllegalGraph(f"time weights {wt.shape} do not fit {filters} filters")
        if state.shape != (x.shape[0], wt.elements):
            raise IllegalGraph(
                f"the state must have shape {(x.shape[0], wt.elements)}; found {state.shape}"
            )
        bias = optional(inputs, 3)
        if bias is not None and bias.shape != (filters // self.rank,):
            raise IllegalGraph(
                f"bias must have shape ({filters // self.rank},); found {bias.shape}"
            )
        if wt.dtype != self.state_dtype or outputs[0].dtype != "int8":
            raise IllegalGraph(
                f"time weights must be {self.state_dtype} and the output int8; "
                f"found {wt.dtype} and {outputs[0].dtype}"
            )

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(n, units), and the state's shape."""
        batch, filters = present(inputs, 0).shape[0], present(inputs, 1).shape[0]
        return (batch, filters // self.rank), present(inputs, 4).shape

    def features(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The newest feature values on the state's grid: (n, filters)."""
        x, wf = present(inputs, 0), present(inputs, 1)
        sums = weighted_sums(x, self.input_zero_point, wf, None, datapath)
        return requantize_array(sums, self.feature, self.state_dtype)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Append the features to the history, then sum it over rank and time."""
        wt, old = present(inputs, 2), present(inputs, 4)
        batch, filters, memory = old.shape[0], *wt.shape
        history = old.reshape(batch, filters, memory)
        newest = self.features(inputs, datapath)[:, :, None]
        state = np.concatenate([history[:, :, 1:], newest], axis=2)
        sums = self._units(state, wt, optional(inputs, 3), datapath)
        out = requantize_array(sums, self.requantize, "int8")
        return out, state.reshape(old.shape)

    def sums(
        self, inputs: Sequence[Array | None], results: Sequence[Array], *, folded: bool
    ) -> tuple[Sums, ...]:
        """`feature`, the newest values of the history, and `time`, the units: a block each."""
        x, wf, wt = (present(inputs, i) for i in (0, 1, 2))
        feature = weighted_product(x, self.input_zero_point, wf, None, folded=folded)
        x, w, start = self._operands(results[1].reshape(len(x), *wt.shape), wt, optional(inputs, 3))
        units = tuple(
            Product(np.ascontiguousarray(x[:, u]), w[u, None], start[u, None], u)
            for u in range(len(w))
        )
        return (
            Sums("feature", (0, 1), (feature,), self.feature, 32, self.state_dtype),
            Sums("time", (4, 2), units, self.requantize, 32, "int8"),
        )

    def _operands(self, state: Array, wt: Array, bias: Array | None) -> tuple[Array, Array, Array]:
        """(history (n, units, taps), weights (units, taps), bias): rank and time are one sum."""
        taps = self.rank * state.shape[2]
        x = state.astype(np.int16).reshape(len(state), -1, taps)
        w = wt.astype(np.int16).reshape(-1, taps)
        return x, w, np.zeros(len(w), dtype=np.int32) if bias is None else bias

    def _units(self, state: Array, wt: Array, bias: Array | None, datapath: Datapath) -> Array:
        """The accumulators (n, units): rank and time are one sum of a unit."""
        x, w, start = self._operands(state, wt, bias)
        if not wraps_in_int32(datapath, 32):
            blocks = [
                matmul(np.ascontiguousarray(x[:, u]), w[u, None], start[u, None], datapath, 32, u)
                for u in range(len(w))
            ]
            return np.concatenate(blocks, axis=1)
        # A depthwise window as long as the history, the units its channels.
        return depthwise(
            np.ascontiguousarray(x[:, None].swapaxes(2, 3)),
            np.ascontiguousarray(w[None].swapaxes(1, 2)),
            start,
            Window((1, w.shape[1]), (1, 1), (1, 1), (0, 0), (1, 1)),
            datapath,
        )

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = n filters (i + m); each history shifts by one element.

        The wider of the two products names the operand bits; elements of the narrower one count
        as the bytes they fill.
        """
        x, wf, wt, state = (present(inputs, i) for i in (0, 1, 2, 4))
        bias, bits = optional(inputs, 3), wt.bits
        return Work(
            n=x.shape[0],
            oc=wf.shape[0],
            ky=1,
            kx=1,
            ic=x.shape[1] + wt.shape[1],
            weight_bits=bits,
            activation_bits=bits,
            output_bits=outputs[0].bits,
            input_elements=-(-x.elements * x.bits // bits) + state.elements,
            weight_elements=-(-wf.elements * wf.bits // bits) + wt.elements,
            bias_elements=0 if bias is None else bias.elements,
            output_elements=outputs[0].elements + state.elements * bits // outputs[0].bits,
            elementwise=state.elements,
            requantizations=x.shape[0] * wf.shape[0] + outputs[0].elements,
        )
