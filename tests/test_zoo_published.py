"""Counts of the zoo's networks against published ones, and the page that shows them.

Parameters are counted as the source does: PyTorch's are `parameters`; Keras' `variables` have the
moving averages of normalizations too; `weights` are those that multiply.
"""

import re
from fractions import Fraction
from typing import Final, Literal, NamedTuple

import pytest

import workloads
from tests.shared import ROOT
from workloads.zoo.shapes import NETWORKS, description_of

PAGE: Final = ROOT / "docs" / "zoo.md"
WITHIN: Final = Fraction(5, 1000)


class Published(NamedTuple):
    """A figure as it is printed: its digits and their unit."""

    model: str
    what: Literal["MACs", "parameters", "variables", "weights"]
    digits: str
    unit: int
    explained: str = ""

    @property
    def value(self) -> Fraction:
        return Fraction(self.digits) * self.unit


M, G = 10**6, 10**9
TWO_DIGITS: Final = "two digits are printed; ours rounds to them"
FIGURES: Final = (
    # Howard et al., arXiv 1704.04861; TF-Slim, mobilenet_v1.md; keras.applications.
    Published("mobilenet_v1", "MACs", "569", M),
    Published("mobilenet_v1", "parameters", "4.24", M),
    Published("mobilenet_v1", "variables", "4253864", 1),
    Published("mobilenet_v1", "variables", "4.25", M),
    Published("mobilenet_v1,side=192", "MACs", "418", M),
    Published("mobilenet_v1,side=160", "MACs", "291", M),
    Published("mobilenet_v1,side=128", "MACs", "186", M),
    Published("mobilenet_v1,width=0.75", "MACs", "325", M),
    Published("mobilenet_v1,width=0.75", "MACs", "317", M, "the paper itself has 325"),
    Published("mobilenet_v1,width=0.75", "parameters", "2.59", M),
    Published("mobilenet_v1,width=0.5", "MACs", "150", M),
    Published("mobilenet_v1,width=0.5", "parameters", "1.34", M, "the moving averages make it so"),
    Published("mobilenet_v1,width=0.25", "MACs", "41", M),
    Published("mobilenet_v1,width=0.25", "parameters", "0.47", M),
    # Sandler et al., arXiv 1801.04381; TF-Slim, mobilenet/README.md; keras.applications.
    Published("mobilenet_v2", "MACs", "300", M),
    Published("mobilenet_v2", "parameters", "3504872", 1),
    Published("mobilenet_v2", "variables", "3538984", 1),
    Published("mobilenet_v2", "variables", "3.54", M),
    Published("mobilenet_v2", "weights", "3.47", M),
    Published("mobilenet_v2,width=1.4", "weights", "6.06", M),
    Published("mobilenet_v2,width=1.3", "weights", "5.34", M),
    Published("mobilenet_v2,width=0.75", "weights", "2.61", M),
    Published("mobilenet_v2,width=0.5", "weights", "1.95", M),
    Published("mobilenet_v2,width=0.35", "weights", "1.66", M),
    Published("mobilenet_v2,side=192", "MACs", "221", M),
    Published("mobilenet_v2,side=160", "MACs", "154", M),
    Published("mobilenet_v2,side=128", "MACs", "99", M),
    Published("mobilenet_v2,side=96", "MACs", "56", M, TWO_DIGITS),
    Published("mobilenet_v2,width=1.4", "MACs", "582", M),
    Published("mobilenet_v2,width=1.3", "MACs", "509", M),
    Published("mobilenet_v2,width=0.75", "MACs", "209", M),
    Published("mobilenet_v2,width=0.5", "MACs", "97", M),
    Published("mobilenet_v2,width=0.35", "MACs", "59", M),
    # torchvision and keras.applications; Krishnamoorthi, arXiv 1806.08342, table 2.
    Published("inception_v3", "MACs", "5.713", G),
    Published("inception_v3", "variables", "23851784", 1),
    Published("inception_v3", "variables", "23.9", M),
    Published("nasnet_mobile", "MACs", "564", M),
    Published("nasnet_mobile", "variables", "5326716", 1),
    Published("nasnet_mobile", "parameters", "5.3", M),
    Published("resnet18", "MACs", "1.814", G),
    Published("resnet18", "parameters", "11689512", 1),
    Published("resnet34", "MACs", "3.664", G),
    Published("resnet34", "parameters", "21797672", 1),
    Published("resnet50_v1.5", "MACs", "4089184256", 1),
    Published("resnet50_v1.5", "parameters", "25557032", 1),
    Published("resnet101_v1.5", "MACs", "7.801", G),
    Published("resnet101_v1.5", "parameters", "44549160", 1),
    Published("resnet152_v1.5", "MACs", "11.514", G),
    Published("resnet152_v1.5", "parameters", "60192808", 1),
    # He et al., arXiv 1512.03385, table 1; their networks have the strides in the first taps.
    Published("resnet50_v1", "MACs", "3.8", G, "cut after one decimal: 3.858"),
    Published("resnet101_v1", "MACs", "7.6", G),
    Published("resnet152_v1", "MACs", "11.3", G),
    Published("resnet50_v1", "variables", "25636712", 1),
    Published("resnet50_v1", "parameters", "25.6", M),
    Published("resnet152_v1", "variables", "60.4", M),
    Published("resnet50_v2", "parameters", "25.6", M),
    Published("resnet152_v2", "variables", "60.4", M),
    Published("resnet101_v1", "variables", "44707176", 1),
    Published("resnet152_v1", "variables", "60419944", 1),
    Published("resnet50_v2", "variables", "25613800", 1),
    Published("resnet101_v2", "variables", "44675560", 1),
    Published("resnet152_v2", "variables", "60380648", 1),
    Published("resnet20_cifar", "parameters", "0.27", M),
    # Krizhevsky et al., NIPS 2012 (as Caffe's files count it); torchvision.
    Published("alexnet", "MACs", "724", M),
    Published("alexnet", "parameters", "60965224", 1),
    Published("alexnet_one_tower", "MACs", "0.714", G),
    Published("alexnet_one_tower", "parameters", "61100840", 1),
    Published("vgg16", "MACs", "15.47", G),
    Published("vgg16", "parameters", "138357544", 1),
    Published("vgg19", "MACs", "19.632", G),
    Published("vgg19", "parameters", "143667240", 1),
    # Szegedy et al., arXiv 1409.4842, table 1: its rows added up.
    Published("googlenet", "MACs", "1502", M, "counts its 7 x 7 stem as 7 x 1 and 1 x 7"),
    Published("googlenet", "parameters", "6.8", M, "counts in units of 1024, its stem as above"),
    Published("densenet121", "MACs", "2.834", G),
    Published("densenet121", "parameters", "7978856", 1),
    Published("densenet121", "variables", "8062504", 1),
    # tensorflow/tpu, models/official/efficientnet/lite, README.
    Published("efficientnet_lite0", "variables", "4.7", M),
    Published("efficientnet_lite0", "MACs", "407", M, "counts normalizations in training"),
    # Sandler et al., arXiv 1801.04381, tables 6 and 7: 80 classes and the background.
    Published("deeplab_v3_mobilenet_v2", "MACs", "2.75", G),
    Published("deeplab_v3_mobilenet_v2", "parameters", "2.11", M),
    Published("deeplab_v3_mobilenet_v2,aspp=1", "parameters", "4.52", M),
    Published("deeplab_v3_mobilenet_v2,aspp=1", "MACs", "5.8", G, "counts whole blocks of rates"),
    Published("mobilenet_v1_ssdlite,classes=81", "parameters", "5.1", M),
    Published("mobilenet_v1_ssdlite,classes=81", "MACs", "1.3", G, TWO_DIGITS),
    Published("mobilenet_v2_ssdlite,classes=81", "parameters", "4.3", M, TWO_DIGITS),
    Published("mobilenet_v2_ssdlite,classes=81", "MACs", "0.8", G, TWO_DIGITS),
    # Howard et al., arXiv 1704.04861, table 13.
    Published("mobilenet_v1_ssd", "parameters", "6.8", M),
    Published("mobilenet_v1_ssd", "MACs", "1.2", G, TWO_DIGITS),
    # Devlin et al., arXiv 1810.04805, section 3; Sun et al., arXiv 2004.02984, table 4.
    Published("bert_base", "parameters", "110", M),
    Published("bert_base", "MACs", "11.25", G, "half its operations, others among them"),
    # Zhang et al., arXiv 2401.02385: (1 100 048 384 - 2 x 32000 x 2048 - 2048) / 22.
    Published("llm_decode", "parameters", "44044288", 1),
)


def ours(figure: Published) -> int:
    model = f"zoo:{figure.model}"
    if figure.what in ("MACs", "weights"):
        works = [work for work in workloads.load(model).work if work.macs]
        macs = figure.what == "MACs"
        return sum(work.macs if macs else work.weight_elements for work in works)
    found = description_of(model)
    assert found is not None
    return found.parameters if figure.what == "parameters" else found.variables


def label(figure: Published) -> str:
    return f"{figure.model} {figure.what}"


@pytest.mark.parametrize("figure", FIGURES, ids=label)
def test_a_published_count_is_met_or_explained(figure: Published) -> None:
    close = abs(ours(figure) - figure.value) <= WITHIN * figure.value
    assert close == (not figure.explained)


@pytest.mark.parametrize(
    "figure", [figure for figure in FIGURES if figure.explained == TWO_DIGITS], ids=label
)
def test_what_is_explained_by_rounding_rounds_to_what_is_printed(figure: Published) -> None:
    decimals = len(figure.digits.partition(".")[2])
    assert round(Fraction(ours(figure), figure.unit), decimals) == Fraction(figure.digits)


def test_what_googlenets_table_counts() -> None:
    """A stem of 7 x 1 and 1 x 7 taps, and parameters in units of 1024."""
    stem_macs, stem = 112 * 112 * 64 * 3, 64 * 3
    macs = ours(Published("googlenet", "MACs", "1502", M)) - stem_macs * (49 - 14)
    assert abs(macs - 1502 * M) <= WITHIN * 1502 * M
    held = ours(Published("googlenet", "parameters", "6.8", M)) - stem * (49 - 14)
    # The sum of the table's rows: 6797.7 K.
    published = Fraction("6797.7") * 1024
    assert abs(held - published) <= WITHIN * published


def test_the_page_shows_every_figure_and_our_count() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| ([\d ]+) \| ([\d. ]+)(| M| G) \|", text, re.M)
    units = {"": 1, " M": M, " G": G}
    shown = [
        (model, what, int(count.replace(" ", "")), Fraction(digits.replace(" ", "")) * units[unit])
        for model, what, count, digits, unit in rows
    ]
    assert shown == [(f.model, f.what, ours(f), f.value) for f in FIGURES]


def test_the_page_names_every_network() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"`zoo:([\w.]+)`", text)) >= set(NETWORKS)
