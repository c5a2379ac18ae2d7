"""Ranges of a layer's weights by output and by input channel, and factors that make them equal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.graph import Graph
from workloads.float_graph import Layer
from workloads.quantize.ptq.channels import Channels, Joint
from workloads.quantize.ptq.grouped import by_group
from workloads.quantize.quantizer import Reals


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """max |w| of a layer over its kernel: `values` (groups, filters of a group, slots).

    A slot is an input of the group. Where a joint leads to a layer of one group, its inputs are
    gathered to one slot a channel, and a last one for inputs that are always zero. `channels` has
    the channel of each slot, over all groups: (groups * slots,).
    """

    values: Reals
    channels: Channels

    def by_output(self, inputs: Reals, outputs: Reals) -> Reals:
        """Max |w| of each filter once slots are multiplied and filters divided: (filters,)."""
        scaled = self.values * inputs.reshape(self.values.shape[0], 1, -1)
        return np.asarray(scaled.max(axis=2).reshape(-1) / outputs)

    def by_input(self, inputs: Reals, outputs: Reals, count: int) -> Reals:
        """Max |w| of what reads each of `count` channels of the layer before: (count,)."""
        scaled = self.values / outputs.reshape(self.values.shape[0], -1, 1)
        ranges = np.zeros(count + 1)  # the last is that of no channel
        np.maximum.at(ranges, self.channels, scaled.max(axis=1).reshape(-1) * inputs)
        return ranges[:-1]


def magnitudes(graph: Graph, layer: Layer, before: Joint | None) -> Magnitudes:
    """Of a layer, with the channels of the layer before where a joint leads to it."""
    weights = by_group(graph.constants[layer.weights], layer)
    if before is None or layer.groups > 1:
        values = np.abs(weights).max(axis=3).astype(np.float64)
        slots = np.arange(values.shape[0] * values.shape[2])
        return Magnitudes(values, slots if before is None else before.channels)
    count = graph.constants[before.first.weights].shape[before.first.filter_axis]
    gathered = np.zeros((1, weights.shape[1], count + 1))
    for channel in np.unique(before.channels):
        read = weights[:, :, before.channels == channel]
        gathered[:, :, channel] = np.abs(read).max(axis=(2, 3))
    return Magnitudes(gathered, np.append(np.arange(count), -1))


def factors(ranges: Sequence[Reals]) -> list[Reals]:
    """What divides each of n layers' outputs and multiplies the next one's inputs: n - 1 of (c,).

    `ranges[k]` is max |w| of layer k by the channel that passes through them all. With the
    geometric mean c of all n, s_1 = r_1 / c and s_k = s_(k-1) r_k / c leave every layer with range
    c: sqrt(r_1 r_2) / r_2 for two (Nagel et al. 2021, arXiv 2106.08295, section 3.2; 2019, arXiv
    1906.04721, section 4.1), r_1 / c and c / r_3 with the cube root c for a depthwise layer between
    two. 1 for channels where a range is zero or no number.
    """
    stacked = np.array(ranges)
    usable = np.all(np.isfinite(stacked) & (stacked > 0), axis=0)
    logs = np.log(np.where(usable, stacked, 1.0))
    sums = np.cumsum(logs - logs.mean(axis=0), axis=0)
    return list(np.exp(sums[:-1]))
