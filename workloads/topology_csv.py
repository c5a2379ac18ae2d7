"""SCALE-Sim topology files: layers by their sizes alone, as a convolution or a matrix product each.

A convolution is `name, ifmap h, ifmap w, filter h, filter w, channels, filters, stride[, stride w,
batch or N:M]`, a product `name, M, N, K[, batch or N:M]`; the header says which. Facts: SCALE-Sim
2.0.2 and 3.0.0, topology_utils.py. There are no values: such a graph is costed, never run.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, Final, Self, final

import numpy as np

from simulator.errors import BadFile, Unsupported
from simulator.graph import Array, Graph, Node, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.work import Work

CONV_FIELDS: Final = (
    *("ifmap height", "ifmap width", "filter height", "filter width"),
    *("channels", "filters", "stride"),
)
GEMM_FIELDS: Final = ("M", "N", "K")
OPERAND_BITS: Final = 8
"""SCALE-Sim counts words; here each is 8 bits wide, as its default configuration has them."""
MOST_MACS: Final = 2**44
"""Larger layers would leave the 64-bit counters of the cost functions."""
MOST_LAYERS: Final = 100_000
SHAPES_ONLY: Final = "shapes only"


@final
@dataclass(frozen=True)
class TopologyLayer(Operator):
    """One row: `work` and nothing else. Not a convolution that runs.

    It has weights for an input and gives the ofmap and the ifmap: a topology does not say where a
    layer's input comes from, so it exists while the layer runs and no longer.
    """

    counts: Work
    ifmap: tuple[int, ...]
    ofmap: tuple[int, ...]
    place: str

    kind: ClassVar[str] = "topology_layer"
    formats: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[str] = "none: a SCALE-Sim topology has no values; N:M counts dense"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Topologies have no nodes of a format; raises Unsupported."""
        raise Unsupported(f"{source.place}: a topology layer is made from a row alone")

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Every row was checked when it was read."""

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(ofmap, ifmap)."""
        return self.ofmap, self.ifmap

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Refuse: raises Unsupported."""
        raise Unsupported(no_values(self.place))

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """The counts of the row."""
        return self.counts


def no_values(place: str) -> str:
    """The refusal of whatever needs values."""
    return (
        f"{place}: a topology holds shapes and no values; estimate, sweep and inspect take it: "
        "give a .tflite or .onnx file to compute"
    )


def read(path: Path) -> Graph:
    """A graph with a node for each row, in order, that depend on nothing.

    A name that repeats gets a number. Raises BadFile with file and line where a row is no layer.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path}: not a text file; give a SCALE-Sim topology .csv") from None
    nodes: list[Node] = []
    tensors: dict[str, TensorType] = {}
    constants: dict[str, Array] = {}
    names: set[str] = set()
    for row in _rows(path.name, text):
        name = _unique(row.name, names)
        layer = _layer(row)
        shapes = ((layer.counts.weight_elements,), layer.ofmap, layer.ifmap)
        weights, ofmap, ifmap = (f"{name}.{part}" for part in ("weights", "ofmap", "ifmap"))
        for tensor, shape in zip((weights, ofmap, ifmap), shapes, strict=True):
            tensors[tensor] = TensorType(shape, "int8", OPERAND_BITS)
        constants[weights] = shape_alone(shapes[0])
        nodes.append(Node(name, layer, (weights,), (ofmap, ifmap)))
    if not nodes:
        raise BadFile(f"{path}: holds no layer; give a SCALE-Sim topology .csv")
    return Graph(path.name, tuple(nodes), tensors, constants, (), (), dialect=SHAPES_ONLY)


def require_values(graph: Graph) -> Graph:
    """The same graph; raises Unsupported where it holds shapes alone."""
    if graph.dialect == SHAPES_ONLY:
        raise Unsupported(no_values(graph.name))
    return graph


@dataclass(frozen=True)
class _Row:
    """One row: its numbers without those that are optional.

    `batch` products have weights of their own each, `batch` images share those of a convolution.
    """

    place: str
    name: str
    sizes: tuple[int, ...]
    stride_x: int
    batch: int

    @property
    def gemm(self) -> bool:
        return len(self.sizes) == len(GEMM_FIELDS)


def _rows(file: str, text: str) -> Iterator[_Row]:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line.strip(", \t")]
    if not lines:
        raise BadFile(f"{file}: is empty; give a SCALE-Sim topology .csv")
    if len(lines) > MOST_LAYERS:
        raise BadFile(f"{file}: holds {len(lines)} rows, more than {MOST_LAYERS}; split it")
    separator = "," if "," in lines[0][1] else "\t"
    header = _fields(lines[0][1], separator)
    if len(header) < 4 or any(re.fullmatch(r"[-+]?\d+", field) for field in header):
        raise BadFile(
            f"{file}:{lines[0][0]}: the first line must name the columns, as in 'Layer,M,N,K,'; "
            f"found '{_short(lines[0][1])}'. SCALE-Sim skips that line: add it"
        )
    for number, line in lines[1:]:
        fields = _fields(line, separator)
        # A name alone is the title of what follows, as in SCALE-Sim's own MLPERF.csv.
        if len(fields) > 1:
            yield _row(f"{file}:{number}", fields, [name.lower() for name in header])


def _fields(line: str, separator: str) -> list[str]:
    """The fields of a line, without a comment behind the last comma and without empty ends."""
    fields = [field.strip() for field in line.split(separator)]
    while fields and (not fields[-1] or fields[-1].startswith("#")):
        fields.pop()
    return fields


def _row(place: str, fields: list[str], header: list[str]) -> _Row:
    gemm = tuple(header[1:4]) == ("m", "n", "k")
    names = GEMM_FIELDS if gemm else CONV_FIELDS
    numbers, rest = fields[1 : len(names) + 1], fields[len(names) + 1 :]
    if len(numbers) < len(names):
        raise BadFile(
            f"{place}: a layer needs its name and {len(names)} numbers ({', '.join(names)}); "
            f"found {len(numbers)}"
        )
    values = [_number(place, what, text) for what, text in zip(names, numbers, strict=True)]
    found = {"batch": 1, "stride width": 1 if gemm else values[-1]}
    for title, text in zip_longest(header[len(names) + 1 :], rest, fillvalue=""):
        what = "batch" if gemm or "batch" in title else "stride width"
        if text and not _is_note(title, text):
            found[what] = _number(place, what, text)
    name = fields[0] or "layer"
    return _Row(place, name, tuple(values), found["stride width"], found["batch"])


def _is_note(title: str, text: str) -> bool:
    """Whether an optional field is no size: a sparsity, or a word in a column of another name."""
    if ":" in text or "sparsity" in title:
        return True
    return text.isalpha() and "batch" not in title and "stride" not in title


def _number(place: str, what: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text) or not int(text):
        raise BadFile(
            f"{place}: {what} must be a whole number from 1; found '{_short(text)}'. "
            "Write one layer a line, its numbers separated by commas"
        )
    return int(text)


def _layer(row: _Row) -> TopologyLayer:
    """The work of a row. `DP` in a name means depthwise: a layer a channel, filters kept."""
    if row.gemm:
        m, n, k = row.sizes
        shape, ofmap = (m, 1), (m, 1)
        ky, kx, channels, filters, stride = 1, 1, k, n, 1
        groups = row.batch
    else:
        height, width, ky, kx, channels, filters, stride = row.sizes
        if ky > height or kx > width:
            raise BadFile(
                f"{row.place}: a filter of {ky} x {kx} is larger than its ifmap of "
                f"{height} x {width}; enlarge the ifmap by its padding"
            )
        groups = channels if "DP" in row.name else 1
        channels = channels // groups
        shape, stride_x = (height, width), row.stride_x
        # Rounded up: one output more than a convolution has where the stride does not divide.
        ofmap = (-(-(height - ky) // stride) + 1, -(-(width - kx) // stride_x) + 1)
    images = 1 if row.gemm else row.batch
    counts = Work(
        n=images,
        oy=ofmap[0],
        ox=ofmap[1],
        oc=filters,
        ky=ky,
        kx=kx,
        ic=channels,
        groups=groups,
        stride_y=stride,
        stride_x=row.stride_x,
        weight_bits=OPERAND_BITS,
        activation_bits=OPERAND_BITS,
        output_bits=OPERAND_BITS,
        input_elements=images * shape[0] * shape[1] * channels * groups,
        weight_elements=groups * filters * ky * kx * channels,
        output_elements=images * ofmap[0] * ofmap[1] * filters * groups,
        requantizations=images * ofmap[0] * ofmap[1] * filters * groups,
        depthwise=int(groups > 1 and not row.gemm),
    )
    if counts.macs > MOST_MACS or counts.input_elements > MOST_MACS:
        raise BadFile(
            f"{row.place}: {counts.macs} multiply-accumulates are more than {MOST_MACS}; "
            "split the layer"
        )
    ifmap_shape = (images, *shape, channels * groups)
    return TopologyLayer(counts, ifmap_shape, (images, *ofmap, filters * groups), row.place)


def _unique(name: str, names: set[str]) -> str:
    found, count = name, 1
    while found in names:
        count += 1
        found = f"{name}_{count}"
    names.add(found)
    return found


def shape_alone(shape: tuple[int, ...], dtype: str = "int8") -> Array:
    """One zero seen everywhere: what has a size and no values takes no memory."""
    one = np.zeros((), dtype=dtype)
    one.setflags(write=False)
    return np.broadcast_to(one, shape)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
