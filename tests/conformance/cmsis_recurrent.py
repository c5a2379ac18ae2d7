"""CMSIS-NN's SVDF and LSTM as graphs with state."""

from dataclasses import replace
from typing import Any

from simulator.execute import run
from simulator.graph import Array, Operator
from tests.conformance.cmsis_weighted import Arrays, Params, bounds_of, constant_of, scaled
from tests.conformance.one_node import Chain, grid


def svdf(about: Params, p: Params, arrays: Arrays) -> Array:
    """The inputs in sequence, from the state that the case gives; the last output counts."""
    chain, state = Chain(about["case"]), arrays["state"]
    n, filters, memory = p["input_batches"], p["feature_batches"], p["time_batches"]
    units, dtype = filters // p["rank"], str(state.dtype)
    steps = arrays["input"].reshape(-1, n, p["input_size"])
    x = chain.feed("x", grid(steps.shape[1:], "int8", p["input_offset"]), steps[0])
    shape = (filters, p["input_size"])
    wf = chain.constant("wf", grid(shape, "int8"), arrays["weights_feature"])
    wt = chain.constant("wt", grid((filters, memory), dtype), arrays["weights_time"])
    b = chain.constant("b", grid((units,), "int32"), arrays["biases"])
    s = chain.variable("s", grid((n, filters * memory), dtype))

    def adjust(operator: Any) -> Operator:
        low, high = p["in_activation_min"], p["in_activation_max"]
        first = scaled(operator.feature, [p["multiplier_in"]], [p["shift_1"]], 0, (low, high))
        second = scaled(
            operator.requantize,
            [p["multiplier_out"]],
            [p["shift_2"]],
            p["output_offset"],
            bounds_of(p),
        )
        changed: Operator = replace(operator, feature=first, requantize=second)
        return changed

    y = chain.node("SVDF", {"rank": p["rank"]}, (x, wf, wt, b, s), grid((n, units), "int8"), adjust)
    graph, kept = chain.graph(y), {s: state.reshape(n, -1)}
    outputs: dict[str, Array] = {}
    for step in steps:
        outputs, kept = run(graph, {x: step}, state=kept)
    return outputs[y]


def lstm(about: Params, p: Params, arrays: Arrays) -> Array:
    """One call from states of zero; gates in our order: input, forget, cell, output."""
    chain, dtype, cells = Chain(about["case"]), about["act_dtype"], p["hidden_size"]
    n, time = p["batch_size"], p["time_steps"]
    major = p["time_major"] == "true"
    lead = (time, n) if major else (n, time)
    x_kind = grid((*lead, p["input_size"]), dtype, -p["input_zero_point"])
    x = chain.feed("x", x_kind, arrays["input"])
    gates = ("input_gate", "forget_gate", "cell_gate", "output_gate")
    wide = {g: str(arrays[f"{g}_bias"].dtype) for g in gates}
    w = [constant_of(chain, arrays, f"{g}_input_weights", (cells, p["input_size"])) for g in gates]
    r = [constant_of(chain, arrays, f"{g}_hidden_weights", (cells, cells)) for g in gates]
    b = [constant_of(chain, arrays, f"{g}_bias", (cells,), wide[g]) for g in gates]
    h = chain.variable("h", grid((n, cells), dtype, p["output_zero_point"]))
    c = chain.variable("c", grid((n, cells), "int16", 0, 2.0 ** p["cell_scale_power"]))

    def adjust(operator: Any) -> Operator:
        from_input, from_hidden = (
            tuple(
                scaled(
                    by,
                    [p[f"{g}_{side}_multiplier"]],
                    [p[f"{g}_{side}_shift"]],
                    0,
                    (by.low, by.high),
                )
                for g, by in zip(gates, found, strict=True)
            )
            for side, found in (("input", operator.from_input), ("hidden", operator.from_hidden))
        )
        products = {
            ours: scaled(
                by,
                [p[f"{theirs}_multiplier"]],
                [p[f"{theirs}_shift"]],
                by.zero_point,
                (by.low, by.high),
            )
            for ours, theirs, by in (
                ("forget", "forget_to_cell", operator.products.forget),
                ("candidate", "input_to_cell", operator.products.candidate),
                ("hidden", "output", operator.products.hidden),
            )
        }
        changed: Operator = replace(
            operator,
            from_input=from_input,
            from_hidden=from_hidden,
            products=replace(operator.products, **products),
            cell_clip=p["cell_clip"],
        )
        return changed

    options = {"time_major": major, "fused_activation_function": "TANH", "cell_clip": 0.0}
    inputs = (x, *w, *r, "", "", "", *b, "", "", h, c)
    y = grid((*lead, cells), dtype, p["output_zero_point"])
    return chain.run(chain.node("UNIDIRECTIONAL_SEQUENCE_LSTM", options, inputs, y, adjust))
