# SPDX-License-Identifier: Apache-2.0
"""One run: a method and a seed, trained by the mean squared error and measured."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from arlsort import quadratic
from experiments.common.command_line import check_finite
from experiments.denoising import data
from experiments.denoising.config import Config
from experiments.denoising.models import MODELS, Differences, Model

WEIGHTS = np.geomspace(1.0, 200.0, 40)
_SHOWN = 3  # test series that are kept, of the first seed
_ROWS = 200  # in one call of a measurement

Apply = Callable[[Any, jax.Array], jax.Array]


def run(config: Config, method: str, seed: int) -> dict[str, Any]:
    """Trains, if there is something to train, and measures.

    Returns:
      Mean squared errors by split, the weight or the epoch that validation chose, and what the
      first seed shows: series, and the learned difference matrix.
    """
    splits = data.load(config, seed)
    began = time.perf_counter()
    if method == "none":
        found, apply, parameters = {}, (lambda _, y: y), None
    elif method == "total_variation":
        weight = choose_weight(splits.validation)
        found, apply, parameters = {"weight": weight}, _total_variation, weight
    else:
        found, apply, parameters = train(config, method, seed, splits)
    errors = {name: mse(apply, parameters, part) for name, part in splits._asdict().items()}
    record = {"mse": errors, "seconds": round(time.perf_counter() - began, 1), **found}
    if seed == 0:
        shown = data.Series(*(part[:_SHOWN] for part in splits.test))
        denoised = apply(parameters, jnp.asarray(shown.noisy))
        parts = {"noisy": shown.noisy, "clean": shown.clean, "denoised": np.asarray(denoised)}
        record["shown"] = {name: part.round(2).tolist() for name, part in _floats(parts).items()}
        if isinstance(parameters, Differences):
            matrix = np.asarray(parameters.matrix, float)
            record["matrix"] = matrix.round(4).tolist()
    return record


def _floats(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(part, float) for name, part in parts.items()}


def _total_variation(weight: float, y: jax.Array) -> jax.Array:
    return quadratic.total_variation(y, weight)


def choose_weight(validation: data.Series) -> float:
    """The weight of total variation with the least error on series to validate by."""
    errors = [mse(_total_variation, float(weight), validation) for weight in WEIGHTS]
    return float(WEIGHTS[int(np.argmin(errors))])


def mse(apply: Apply, parameters: Any, series: data.Series) -> float:
    """The mean squared error; NaN where a series has none."""
    total = 0.0
    for start in range(0, len(series.noisy), _ROWS):
        noisy, clean = (part[start : start + _ROWS] for part in series)
        denoised = np.asarray(apply(parameters, jnp.asarray(noisy)), float)
        total += float(((denoised - clean) ** 2).sum())
    return total / series.clean.size


def train(
    config: Config, method: str, seed: int, splits: data.Splits
) -> tuple[dict[str, Any], Apply, Any]:
    """Trains, and keeps the parameters of the epoch with the least validation error.

    Raises:
      Diverged: If that error is not finite after an epoch.
    """
    model = MODELS[method]
    weight = choose_weight(splits.validation)
    parameters = model.init(jax.random.key(seed), config.length, weight)
    optimizer = _optimizer(model, parameters, getattr(config, model.rate))
    apply, state = jax.jit(model.apply), optimizer.init(parameters)

    @jax.jit
    def step(parameters: Any, state: Any, noisy: jax.Array, clean: jax.Array) -> Any:
        def loss(parameters: Any) -> jax.Array:
            return jnp.mean((model.apply(parameters, noisy) - clean) ** 2)

        value, slope = jax.value_and_grad(loss)(parameters)
        updates, state = optimizer.update(slope, state)
        return optax.apply_updates(parameters, updates), state, value

    rng = np.random.default_rng([seed, 1])
    best, kept, curve, chosen = np.inf, parameters, [], 0  # epoch 0: before the first
    rows, size = len(splits.train.noisy), config.batch_size
    for epoch in tqdm(range(config.epochs), desc=f"{method} seed {seed}", leave=False):
        order = rng.permutation(rows)
        for start in range(0, rows - size + 1, size):
            batch = (part[order[start : start + size]] for part in splits.train)
            parameters, state, _ = step(parameters, state, *batch)
        curve.append(mse(apply, parameters, splits.validation))
        check_finite(curve[-1], f"{method} seed {seed}", (epoch + 1) * (rows // size), model.rate)
        if curve[-1] < best:
            best, kept, chosen = curve[-1], parameters, epoch + 1
    return {"epoch": chosen, "validation": np.round(curve, 3).tolist()}, apply, kept


def _optimizer(model: Model, parameters: Any, rate: float) -> optax.GradientTransformation:
    if not model.fixed:
        return optax.adam(rate)
    learned = type(parameters)(*(name not in model.fixed for name in parameters._fields))
    labels = jax.tree.map(lambda is_learned: "learned" if is_learned else "fixed", learned)
    return optax.multi_transform(
        {"learned": optax.adam(rate), "fixed": optax.set_to_zero()}, labels
    )
