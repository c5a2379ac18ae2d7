"""Train the digits network, quantize it and write digits_cnn.tflite and heldout.npz.

    python -m workloads.zoo.digits.train [--out DIR]

Needs the extra `train` (jax, optax, scikit-learn); half a minute on a CPU. Everything is seeded:
the same versions on the same machine write the same bytes. Another CPU, or another number of
cores, sums floats in another order and ends at other weights (measured: at the same accuracy).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from workloads.zoo.digits.quantize import quantize

SEED = 20
HELDOUT = 360
# Schedule and decay were chosen by 3-fold cross-validation on the training images alone.
EPOCHS = 150
BATCH = 64
PEAK_LEARNING_RATE = 8e-3
WEIGHT_DECAY = 3e-2
PIXEL_MAX = 16.0

Params = dict[str, tuple[jax.Array, jax.Array]]
Array = np.ndarray[Any, Any]

# Weight shapes as TFLite stores them: OHWI, 1HWC for depthwise, OI for fully connected.
WEIGHT_SHAPES = {
    "stem": (16, 3, 3, 1),
    "depthwise": (1, 3, 3, 16),
    "pointwise": (32, 1, 1, 16),
    "branch": (32, 3, 3, 32),
    "classifier": (10, 2 * 2 * 32),
}


def load_split() -> tuple[Array, Array, Array, Array]:
    """Return train images, train labels, held-out images, held-out labels (uint8).

    Images are (N, 8, 8, 1) with pixels 0..16; the held-out 360 keep the share of each digit.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., np.newaxis]
    labels = digits.target.astype(np.uint8)
    train_x, held_x, train_y, held_y = train_test_split(
        images, labels, test_size=HELDOUT, stratify=labels, random_state=SEED
    )
    return train_x, train_y, held_x, held_y


def initial_params(key: jax.Array) -> Params:
    """Draw He-normal weights and zero biases."""
    params = {}
    for name, shape in WEIGHT_SHAPES.items():
        key, sub = jax.random.split(key)
        depthwise = name == "depthwise"
        fan_in = shape[1] * shape[2] if depthwise else int(np.prod(shape[1:]))
        weights = jax.random.normal(sub, shape) * np.sqrt(2.0 / fan_in)
        params[name] = (weights, jnp.zeros(shape[3] if depthwise else shape[0]))
    return params


def convolve(x: jax.Array, layer: tuple[jax.Array, jax.Array], stride: int = 1) -> jax.Array:
    """Convolve (N, H, W, C) with SAME padding; weights of shape (1, H, W, C) are depthwise."""
    weights, bias = layer
    depthwise = weights.shape[0] == 1
    y = jax.lax.conv_general_dilated(
        x,
        weights,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "IHWO" if depthwise else "OHWI", "NHWC"),
        feature_group_count=x.shape[3] if depthwise else 1,
    )
    return y + bias


def forward(params: Params, pixels: jax.Array) -> dict[str, jax.Array]:
    """Run the float network on (N, 8, 8, 1) pixels in 0..1; return activations by name."""
    relu = jax.nn.relu
    stem = relu(convolve(pixels, params["stem"]))
    depthwise = relu(convolve(stem, params["depthwise"], stride=2))
    pointwise = relu(convolve(depthwise, params["pointwise"]))
    branch = convolve(pointwise, params["branch"])
    residual = relu(pointwise + branch)
    n, h, w, c = residual.shape
    pool = residual.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
    weights, bias = params["classifier"]
    logits = pool.reshape(n, -1) @ weights.T + bias
    return {
        "stem": stem,
        "depthwise": depthwise,
        "pointwise": pointwise,
        "branch": branch,
        "residual": residual,
        "logits": logits,
    }


def shift(images: Array, rng: np.random.Generator) -> Array:
    """Move each image by -1, 0 or 1 pixel on both axes, zeros moving in."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = rng.integers(0, 3, (2, len(images)))
    steps = np.arange(8)
    moved: Array = padded[
        np.arange(len(images))[:, None, None],
        (rows[:, None] + steps)[:, :, None],
        (columns[:, None] + steps)[:, None, :],
    ]
    return moved


def train(images: Array, labels: Array) -> Params:
    """Fit the float network to pixels in 0..1 and labels; fixed schedule, no model selection."""
    rng = np.random.default_rng(SEED)
    batches = len(images) // BATCH
    schedule = optax.cosine_onecycle_schedule(EPOCHS * batches, PEAK_LEARNING_RATE)
    optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)
    params = initial_params(jax.random.key(SEED))
    state = optimizer.init(params)

    def loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = forward(params, x)["logits"]
        targets = optax.smooth_labels(jax.nn.one_hot(y, 10), 0.05)
        return jnp.mean(optax.softmax_cross_entropy(logits, targets))

    def step(
        params: Params, state: optax.OptState, x: jax.Array, y: jax.Array
    ) -> tuple[Params, optax.OptState]:
        updates, state = optimizer.update(jax.grad(loss)(params, x, y), state, params)
        new_params: Params = optax.apply_updates(params, updates)
        return new_params, state

    compiled_step = jax.jit(step)
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))[: batches * BATCH].reshape(batches, BATCH)
        for batch in order:
            params, state = compiled_step(params, state, shift(images[batch], rng), labels[batch])
    return params


def main() -> None:
    """Train, quantize, write both files and print the float accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    start = time.perf_counter()
    train_x, train_y, held_x, held_y = load_split()
    pixels = train_x.astype(np.float32) / PIXEL_MAX
    params = train(pixels, train_y)
    seconds = time.perf_counter() - start

    held = forward(params, jnp.asarray(held_x / PIXEL_MAX, jnp.float32))["logits"]
    accuracy = float((np.asarray(held).argmax(1) == held_y).mean())
    activations = {k: np.asarray(v) for k, v in forward(params, jnp.asarray(pixels)).items()}
    weights = {name: (np.asarray(w), np.asarray(b)) for name, (w, b) in params.items()}
    # The file takes raw pixels 0..16, the float network 0..1: the first weights absorb the 16.
    weights["stem"] = (weights["stem"][0] / PIXEL_MAX, weights["stem"][1])
    model = quantize(weights, activations)
    out.mkdir(parents=True, exist_ok=True)
    (out / "digits_cnn.tflite").write_bytes(model)
    np.savez_compressed(out / "heldout.npz", images=held_x, labels=held_y)
    print(f"trained in {seconds:.1f} s; float accuracy on {HELDOUT} held-out: {accuracy:.4f}")
    print(f"digits_cnn.tflite: {len(model)} bytes")


if __name__ == "__main__":
    main()
