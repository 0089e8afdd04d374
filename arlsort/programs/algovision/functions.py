# SPDX-License-Identifier: Apache-2.0
"""Soft minimum and maximum of arrays of one shape, with a beta of their own; exact if `hard`."""

import jax
from jax.typing import ArrayLike

from arlsort.checks import check_positive
from arlsort.programs.algovision.machine import EXACT
from arlsort.programs.relaxed import Relaxer


class _Choice:
    def __init__(self, beta: ArrayLike) -> None:
        check_positive("beta", beta)
        self.beta = beta

    @property
    def relaxer(self) -> Relaxer:
        return Relaxer(1 / self.beta, exact=EXACT.get())


class Min(_Choice):
    """`sum_i w[i] arrays[i]`, elementwise, with `w = softmax(-beta arrays)`."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        return self.relaxer.minimum(*arrays)


class ArgMin(_Choice):
    """The weights w of `Min`, along a new last axis."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        return self.relaxer.argmin(*arrays)


class Max(_Choice):
    """`sum_i w[i] arrays[i]`, elementwise, with `w = softmax(beta arrays)`."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        return self.relaxer.maximum(*arrays)


class ArgMax(_Choice):
    """The weights w of `Max`, along a new last axis."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        return self.relaxer.argmax(*arrays)
