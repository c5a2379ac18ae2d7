"""A small int8 convolutional network on real data, shipped whole: no network, no scikit-learn.

`digits_cnn.tflite` recognises 8x8 handwritten digits with the operators of the MLPerf Tiny
networks (CONV_2D, DEPTHWISE_CONV_2D, a 1x1 convolution, a residual ADD, AVERAGE_POOL_2D,
RESHAPE, FULLY_CONNECTED, SOFTMAX). `heldout.npz` holds 360 images, the same share of each
digit as in the whole set, that neither training nor calibration saw. `train.py` makes both.

The images are from the optical recognition of handwritten digits data set of E. Alpaydin and
C. Kaynak (1998), UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/80, licence
CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), as bundled with scikit-learn
(`load_digits`, 1797 images). Changed only in that it is split in two and stored as uint8.
"""

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_FOLDER = Path(__file__).parent


def model_path() -> Path:
    """Return the path of digits_cnn.tflite: int8 (1, 8, 8, 1) in, int8 (1, 10) out."""
    return _FOLDER / "digits_cnn.tflite"


def heldout() -> tuple[Array, Array]:
    """Return held-out images, uint8 (360, 8, 8, 1) with pixels 0..16, and labels, uint8 (360,)."""
    with np.load(_FOLDER / "heldout.npz", allow_pickle=False) as archive:
        return archive["images"], archive["labels"]


def quantize_input(images: Array, scale: float, zero_point: int) -> Array:
    """Return int8 codes, round(pixel / scale) + zero_point, ties to even, clamped to -128..127.

    `scale` and `zero_point` are those of the model's input tensor; the shape is kept. With the
    shipped model every pixel value 0..16 is a code exactly, so the rounding never acts.
    """
    codes = np.rint(images.astype(np.float64) / scale) + zero_point
    clamped: Array = np.clip(codes, -128, 127).astype(np.int8)
    return clamped
