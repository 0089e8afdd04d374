# SPDX-License-Identifier: Apache-2.0
"""Robust statistics: a soft median, a trimmed mean, and regression by a quantile of the errors."""

import jax
import jax.numpy as jnp
import optax

import arlsort

OPERATOR = arlsort.SoftSort(temperature=0.02)  # mixes what is about this near


def trimmed_mean(x: jax.Array, share: float = 0.2) -> jax.Array:
    """The mean without this share of the smallest and of the largest, softly; of the last axis."""
    cut = int(share * x.shape[-1])
    return arlsort.sort(x, OPERATOR)[..., cut : x.shape[-1] - cut].mean(axis=-1)


def data(key: jax.Array, points: int = 100) -> tuple[jax.Array, jax.Array]:
    """Points on the line y = 2 x + 1 with a little noise; three in ten are somewhere else."""
    places, noise, wild = jax.random.split(key, 3)
    x = jax.random.uniform(places, (points,), minval=-1.0)
    y = 2 * x + 1 + 0.05 * jax.random.normal(noise, (points,))
    return x, y.at[: 3 * points // 10].set(jax.random.uniform(wild, (3 * points // 10,)) * 9)


def least_quantile(line: jax.Array, x: jax.Array, y: jax.Array, q: float = 0.6) -> jax.Array:
    """The q-th quantile of the squared errors: what the worst of the errors are does not count."""
    return arlsort.quantile((line[0] * x + line[1] - y) ** 2, q, OPERATOR)


def main(steps: int = 400) -> dict[str, list[float]]:
    """Centres of the outlying numbers, and lines by least squares and by the least quantile."""
    x, y = data(jax.random.key(0))
    rows = jnp.stack([x, jnp.ones_like(x)], axis=1)
    line = squares = jnp.linalg.lstsq(rows, y)[0]
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-2, steps))
    state = optimizer.init(line)

    @jax.jit
    def step(line, state):
        updates, state = optimizer.update(jax.grad(least_quantile)(line, x, y), state)
        return optax.apply_updates(line, updates), state

    for _ in range(steps):
        line, state = step(line, state)
    numbers = jnp.array([0.9, 1.0, 1.1, 1.2, 80.0])
    centres = [numbers.mean(), arlsort.median(numbers, OPERATOR), trimmed_mean(numbers)]
    named = {"mean, median, trimmed": centres, "least squares": squares, "least quantile": line}
    return {name: [float(value) for value in values] for name, values in named.items()}


if __name__ == "__main__":
    for name, values in main().items():
        print(f"{name:24} {'  '.join(f'{value:.2f}' for value in values)}")
