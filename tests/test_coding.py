"""Coded weights: the entropy of arrays whose entropy is known, and of a network's weights."""

import math
from collections import Counter

import numpy as np

import workloads
from simulator.coding import coded_weight_bits, entropy_bits


def test_entropies_known_by_hand() -> None:
    assert entropy_bits(np.arange(256).repeat(3)) == 256 * 3 * 8
    assert entropy_bits(np.zeros(1000, np.int8)) == 1
    # Halves and quarters: 1.5 bits a value.
    assert entropy_bits(np.array([0, 0, 1, 2] * 10)) == 60


def test_the_weights_of_a_network_against_a_count_in_python() -> None:
    graph = workloads.load("zoo:digits")
    found = coded_weight_bits(graph)
    seen = 0
    for node, work, bits in zip(graph.nodes, graph.work, found, strict=True):
        if not work.macs:
            assert bits == 0
            continue
        values = graph.constants[node.inputs[1]].ravel().tolist()
        entropy = sum(-n * math.log2(n / len(values)) for n in Counter(values).values())
        assert 0 <= bits - entropy < 1
        assert 0 < bits <= work.weight_elements * work.weight_bits
        seen += 1
    assert seen > 1
