"""What the JSON documents of the command line hold, field by field, as JSON Schema."""

from typing import Any, Final

COUNT: Final = {"type": "integer", "minimum": 0}
AMOUNT: Final = {"type": "number", "exclusiveMinimum": 0}
SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}
NAME: Final = {"type": "string", "minLength": 1}


def fields(**known: Any) -> dict[str, Any]:
    """An object with exactly these fields."""
    return {
        "type": "object",
        "properties": known,
        "required": list(known),
        "additionalProperties": False,
    }


def many(item: Any) -> dict[str, Any]:
    """A list of one or more."""
    return {"type": "array", "items": item, "minItems": 1}


def named(item: Any) -> dict[str, Any]:
    """An object from names to `item`, not empty."""
    return {"type": "object", "additionalProperties": item, "minProperties": 1}


LAYER: Final = fields(
    name=NAME,
    op=NAME,
    unit=NAME,
    macs=COUNT,
    cycles=fields(compute=COUNT, stall=COUNT, overhead=COUNT, total=COUNT | {"minimum": 1}),
    bound_by=NAME,
    utilization=SHARE,
    bytes=named(fields(read=COUNT, write=COUNT)),
    energy_fj=named(COUNT),
)
TOTALS: Final = fields(
    cycles=COUNT,
    latency_s=AMOUNT,
    throughput_per_s=AMOUNT,
    energy_fj=COUNT,
    energy_fj_low=COUNT,
    energy_fj_high=COUNT,
    energy_j=AMOUNT,
    power_w=AMOUNT,
    tops_per_w=AMOUNT,
    macs=COUNT,
    utilization=SHARE,
    area_mm2=AMOUNT,
    area_mm2_low=AMOUNT,
    area_mm2_high=AMOUNT,
    area_parts_mm2=named({"type": "number", "minimum": 0}),
    peak_memory_bytes=COUNT,
)
ESTIMATE: Final = fields(
    schema={"const": "bitlane.estimate/1"},
    model=NAME,
    batch=COUNT,
    machines=many(
        fields(name=NAME, totals=TOTALS, layers=many(LAYER), notes={"type": "array", "items": NAME})
    ),
)
EVENT: Final = fields(
    unit=NAME,
    what={"enum": ["run", "dispatch", "copy in", "copy out"]},
    layer=NAME,
    tensor={"type": ["string", "null"]},
    start=COUNT,
    cycles=COUNT,
)
ON_A_PLATFORM: Final = fields(
    schema={"const": "bitlane.estimate/1"},
    model=NAME,
    batch=COUNT,
    machines=many(
        fields(
            name=NAME,
            totals=TOTALS,
            layers=many(fields(**LAYER["properties"], start=COUNT)),
            notes={"type": "array", "items": NAME},
            timeline=many(EVENT),
        )
    ),
)
TENSOR: Final = fields(
    name=NAME,
    index={"type": ["integer", "null"]},
    shape=many(COUNT),
    dtype=NAME,
    bits=COUNT,
    scale={"type": ["array", "null"], "items": AMOUNT},
    zero_point={"type": ["array", "null"], "items": {"type": "integer"}},
)
INSPECT: Final = fields(
    schema={"const": "bitlane.inspect/1"},
    model=NAME,
    dialect=NAME,
    macs=COUNT,
    weight_bytes=COUNT,
    inputs=many(TENSOR),
    outputs=many(TENSOR),
    layers=many(
        fields(
            name=NAME,
            op=NAME,
            inputs=many({"type": "string"}),
            outputs=many(TENSOR),
            macs=COUNT,
            weight_elements=COUNT,
            elementwise=COUNT,
            requantizations=COUNT,
            reference=NAME,
        )
    ),
    memory=fields(
        alignment=COUNT,
        arena_bytes=COUNT,
        live_bytes=COUNT,
        fragmentation=SHARE,
        variable_bytes=COUNT,
        tensors=many(
            fields(
                name=NAME,
                offset=COUNT,
                bytes=COUNT,
                first=COUNT,
                last=COUNT,
                in_place_of={"type": ["string", "null"]},
            )
        ),
    ),
)
DIFFERENCE: Final = fields(
    sample=COUNT,
    index={"type": "array", "items": COUNT},
    ours={"type": ["number", "null"]},
    reference={"type": ["number", "null"]},
)
VALIDATE: Final = fields(
    schema={"const": "bitlane.validate/1"},
    bit_exact={"type": "boolean"},
    values=COUNT,
    differing=COUNT,
    first_differing_node={"type": ["string", "null"]},
    model=NAME,
    against={"enum": ["litert-ref", "onnxruntime", "onnxruntime-unfused"]},
    runtime=NAME,
    samples=COUNT,
    seed={"type": ["integer", "null"]},
    drawn={"enum": ["uniform", "standard normal", "codes -128 to 127", None]},
    layers=many(
        fields(
            node=NAME,
            op=NAME,
            tensor=NAME,
            values=COUNT,
            differing=COUNT,
            max_abs_difference={"type": ["number", "null"], "minimum": 0},
            first={"anyOf": [DIFFERENCE, {"type": "null"}]},
        )
    ),
    unseen={"type": "array", "items": NAME},
    explanation={"type": ["string", "null"]},
)
DECIBELS: Final = {"type": "number", "minimum": -200, "maximum": 200}
MAYBE_DECIBELS: Final = {"type": ["number", "null"], "minimum": -200, "maximum": 200}
MAYBE_SHARE: Final = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
BITS: Final = {"type": "integer", "minimum": 2, "maximum": 32}
REALS: Final = many({"type": "number"})
STEP: Final = fields(
    name=NAME,
    detail={"type": "string"},
    seconds={"type": "number", "minimum": 0},
    weights_sqnr_db=DECIBELS,
    sqnr_db=DECIBELS,
    top1=MAYBE_SHARE,
)
QUANTIZED_LAYER: Final = fields(
    name=NAME,
    op=NAME,
    weight_bits=BITS,
    activation_bits=BITS,
    weights_sqnr_db=MAYBE_DECIBELS,
    output_sqnr_db=DECIBELS,
)
WRITTEN: Final = fields(
    file=NAME,
    format={"enum": ["qdq", "qonnx", "tflite"]},
    bytes=COUNT,
    samples=COUNT,
    agreeing={"type": ["integer", "null"]},
    sqnr_db=DECIBELS,
)
DIAGNOSIS: Final = fields(
    sanity=named({"type": "number", "minimum": 0}),
    weights_sqnr_db=DECIBELS,
    activations_sqnr_db=DECIBELS,
    sqnr_db=DECIBELS,
    weights_top1=MAYBE_SHARE,
    activations_top1=MAYBE_SHARE,
    top1=MAYBE_SHARE,
    ranking=many(
        fields(
            name=NAME,
            op=NAME,
            alone_sqnr_db=DECIBELS,
            weights_sqnr_db=MAYBE_DECIBELS,
            output_sqnr_db=MAYBE_DECIBELS,
            without_sqnr_db=DECIBELS,
        )
    ),
    channels=fields(
        layer=NAME,
        low=REALS,
        high=REALS,
        step=REALS,
        weights_db=REALS,
        output_db=REALS,
        mean_error=REALS,
    ),
    suggestions=many(NAME),
)
QUANTIZE: Final = fields(
    schema={"const": "bitlane.quantize/1"},
    model=NAME,
    settings={"type": "object"},
    samples=fields(calibrated=COUNT, judged=COUNT),
    float_top1=MAYBE_SHARE,
    steps=many(STEP),
    layers=many(QUANTIZED_LAYER),
    output={"anyOf": [{"type": "null"}, WRITTEN]},
    diagnosis={"anyOf": [{"type": "null"}, DIAGNOSIS]},
)
