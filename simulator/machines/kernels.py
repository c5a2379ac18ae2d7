"""What a software generation makes a core execute: instructions by class of layer and width.

An instruction count belongs to the software, the cycles of an instruction to the core: so kernels
measured on one core are carried to another of the same instruction set.
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from simulator.schema import Schema

Instructions: TypeAlias = Annotated[float, Field(ge=0, le=1024)]
Repeats: TypeAlias = Annotated[float, Field(ge=1, le=1024)]
Lanes: TypeAlias = Annotated[int, Field(ge=1, le=1024)]
Block: TypeAlias = Annotated[int, Field(ge=1, le=64)]


class Vector(Schema):
    """Products of one multiply-accumulate instruction: `lanes` sums of `dot` products each."""

    lanes: Lanes
    dot: Lanes


class Simd(Schema):
    """The multiply-accumulate instruction for each operand width.

    Depthwise layers have no input channels to reduce: on integers they run as `int16`, which is
    what widening them by their zero point leaves.
    """

    int8: Vector
    int16: Vector
    float32: Vector


class PerClass(Schema):
    """A rate in each class of layer: several taps, one tap, one channel a group, one pixel.

    `one_channel` is that of several taps on an image of one channel, a spectrogram's first layer:
    taps lie apart in memory and are gathered byte by byte. As `convolution` where not given.
    """

    convolution: Repeats
    pointwise: Repeats
    depthwise: Repeats
    fully_connected: Repeats
    one_channel: Repeats | None = None

    @property
    def single(self) -> float:
        """The rate of one channel; that of a convolution where it is not given."""
        return self.convolution if self.one_channel is None else self.one_channel

    @property
    def most(self) -> float:
        """The largest rate of any class."""
        return max(
            self.convolution, self.pointwise, self.depthwise, self.fully_connected, self.single
        )


class Rates(Schema):
    """Instructions that kernels take, loads and loop control included.

    `per_multiply` is how many accompany one multiply-accumulate instruction, itself included;
    `per_output` what a layer with multiply-accumulates spends on each result beside them
    (gathering the patch, requantizing, storing); the others are those of layers without.
    """

    per_multiply: PerClass
    per_output: Instructions
    per_requantize: Instructions
    per_elementwise: Instructions


class Kernels(Schema):
    """One generation of a library: its rates, and the outputs whose sums it keeps in registers."""

    pixel_block: Block
    channel_block: Block
    integer: Rates | None = None
    float32: Rates | None = None
