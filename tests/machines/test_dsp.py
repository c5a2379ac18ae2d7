"""The signal processor: vector instructions by hand, and the two measured networks."""

import pytest

from simulator.designs import evaluate_designs
from simulator.errors import BadConfig
from tests import imagenet
from tests.machines.works import OPERATORS, conv, cost, gemm, machine


def one(**changes: object) -> dict[str, object]:
    """The paths of a single context without start-up costs or memory limits."""
    quiet = {"vector__contexts": 1, "dispatch__cycles_per_op": 1}
    free = {"memory__l2__bytes_per_cycle": 2**20, "memory__dram__bytes_per_cycle": 2**20}
    return {**quiet, **free, "dispatch__cycles_per_inference": 0, **changes}


def test_a_convolution_fills_lanes_and_reduction() -> None:
    # 32 filters x 4 channels are one multiply: 8 x 8 pixels x 9 taps x 2 x 2 of them, two a packet.
    counted = cost(machine("hvx_1024", **one()), conv((8, 8), 64, (3, 3), 8))
    multiplies = 64 * 9 * 2 * 2
    assert counted["compute_cycles"] == multiplies // 2
    assert counted["macs"] == multiplies * 128
    assert counted["accumulations"] == multiplies * 32
    assert counted["tree_additions"] == multiplies * 96


def test_waste_in_lanes_and_reduction_is_counted() -> None:
    full = cost(machine("hvx_1024", **one()), conv((8, 8), 32, (3, 3), 8))
    # One filter more takes a second vector, one channel more a third group of four.
    more_filters = cost(machine("hvx_1024", **one()), conv((8, 8), 33, (3, 3), 8))
    more_channels = cost(machine("hvx_1024", **one()), conv((8, 8), 32, (3, 3), 9))
    assert more_filters["compute_cycles"] == 2 * full["compute_cycles"]
    assert more_channels["compute_cycles"] * 2 == 3 * full["compute_cycles"]


def test_depthwise_has_nothing_to_reduce() -> None:
    # 64 channels a multiply of 128 bytes, each widened by two adds: the adds fill the ALU slots.
    counted = cost(machine("hvx_1024", **one()), conv((8, 8), 1, (3, 3), 1, groups=128))
    multiplies = 64 * 9 * 2
    requantize = 64 * 128 // 32 * 5
    assert counted["compute_cycles"] == (2 * multiplies + requantize) // 2
    assert counted["bound"] == 1
    assert counted["accumulations"] == counted["macs"] == 64 * 9 * 128


def test_halfwords_take_longer() -> None:
    sixteen = one(datapath__activation_bits=16)
    bytes_ = cost(machine("hvx_1024", **one()), conv((8, 8), 32, (3, 3), 64))
    mixed = cost(machine("hvx_1024", **sixteen), conv((8, 8), 32, (3, 3), 64, activation_bits=16))
    both = cost(
        machine("hvx_1024", **sixteen, datapath__weight_bits=16),
        conv((8, 8), 32, (3, 3), 64, activation_bits=16, weight_bits=16),
    )
    assert mixed["compute_cycles"] == 2 * bytes_["compute_cycles"]
    assert both["compute_cycles"] == 4 * bytes_["compute_cycles"]


def test_one_pixel_is_bound_by_loads() -> None:
    # Each weight vector serves one pixel only: 64 loads of weights, 2 of inputs, 1 store.
    counted = cost(machine("hvx_1024", **one()), gemm(1, 32, 256))
    assert counted["compute_cycles"] == 64 + 256 * 8 // 1024 + 1
    assert counted["bound"] == 3
    assert counted["l2_read"] == 66 * 128 + 32


def test_contexts_share_the_packets() -> None:
    pair = machine("hvx_1024", **one(vector__contexts=2))
    counted = cost(pair, conv((8, 8), 64, (3, 3), 8))
    assert counted["compute_cycles"] == 64 * 9 * 2 * 2 // 4
    assert pair.peak_macs_per_cycle == 2 * 2 * 128


def test_elementwise_runs_in_vectors_of_words() -> None:
    counted = cost(machine("hvx_1024", **one()), OPERATORS["add"])
    # Three packs for each of 24 vectors of words, one a packet; the additions fill two slots.
    assert counted["compute_cycles"] == 768 // 32 * 3
    assert counted["bound"] == 2
    wide = cost(machine("hvx_1024", **one(vector__permute_slots=3)), OPERATORS["add"])
    assert wide["compute_cycles"] == (256 // 32 + 768 // 32 * 5) // 2
    assert (counted["dram_read"], counted["dram_write"]) == (512, 256)


def test_a_scratchpad_takes_the_tiles() -> None:
    work = conv((8, 8), 64, (3, 3), 8)
    room = "{bytes: 262144, bytes_per_cycle: 16}"
    there = machine("hvx_1024", **one(memory__scratchpad=room))
    counted, before = cost(there, work), cost(machine("hvx_1024", **one()), work)
    assert there.levels == ("scratchpad", "dram")
    assert counted["scratchpad_read"] == before["l2_read"]
    # What vectors load and store, less what goes to and comes from DRAM, at 16 bytes a cycle.
    vectors = counted["scratchpad_read"] - counted["dram_write"]
    vectors += counted["scratchpad_write"] - counted["dram_read"]
    assert counted["compute_cycles"] + counted["stall_cycles"] == -(-vectors // 16)
    assert there.bounds[counted["bound"]] == "scratchpad"


def test_a_dma_takes_time_to_start() -> None:
    work = conv((8, 8), 64, (3, 3), 8)
    slow = {"memory__dram__bytes_per_cycle": 1}
    before = cost(machine("hvx_1024", **one(**slow)), work)
    dma = "{bytes_per_cycle: 0.5, cycles_per_transfer: 0}"
    half = cost(machine("hvx_1024", **one(**slow, memory__dma=dma)), work)
    busy = before["compute_cycles"]
    # Half the rate: twice the cycles of the transfers, whose first part precedes the work.
    assert half["overhead_cycles"] - 1 == 2 * (before["overhead_cycles"] - 1)
    moved = before["dram_read"] + before["dram_write"]
    assert before["cycles"] == 1 + max(moved, busy + before["overhead_cycles"] - 1)
    assert half["cycles"] == 1 + max(2 * moved, busy + half["overhead_cycles"] - 1)
    dma = "{bytes_per_cycle: 64, cycles_per_transfer: 1000}"
    started = cost(machine("hvx_1024", **one(**slow, memory__dma=dma)), work)
    assert started["cycles"] == before["cycles"] + 1000


def test_lanes_must_fit() -> None:
    with pytest.raises(BadConfig) as caught:
        machine("hvx_1024", datapath__accumulator__bits=40)
    assert str(caught.value).endswith(
        "datapath.accumulator.bits must be <= 8 * datapath.dot_width = 32, the bits of a lane; "
        "found 40"
    )
    with pytest.raises(BadConfig) as caught:
        machine("hvx_1024", vector__bits=1000)
    assert str(caught.value).endswith(
        "vector.bits must be a multiple of 8 * datapath.dot_width = 32, the bits of a lane; "
        "found 1000"
    )


def test_the_fitted_and_the_unfitted_network() -> None:
    # Krishnamoorthi, arXiv 1806.08342, table 7: 16 ms (fitted) and 15.5 ms (not fitted).
    hvx = machine("hvx_1024")
    networks = (imagenet.mobilenet_v1(), imagenet.mobilenet_v2())
    first, second = (evaluate_designs(net, [hvx]) for net in networks)
    assert first.latency_s[0] == pytest.approx(16e-3, rel=0.001)
    assert second.latency_s[0] == pytest.approx(15.5e-3, rel=0.03)
