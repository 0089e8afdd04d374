# SPDX-License-Identifier: Apache-2.0
"""The network has the published shape, and is the plain Haiku network of the same parameters."""

import haiku as hk
import jax
import numpy as np

from experiments.four_digits.reader import number_reader


def test_published_network_has_the_published_parameters():
    reader = number_reader((32, 64))
    params = jax.eval_shape(reader.init, jax.random.key(0), np.zeros((1, 28, 112, 1), np.float32))
    shapes = [(name.split("/")[-1], *(p[k].shape for k in "wb")) for name, p in params.items()]
    assert shapes == [
        ("conv_pool", (5, 5, 1, 32), (32,)),
        ("conv_pool_1", (5, 5, 32, 64), (64,)),
        ("hidden", (4 * 7 * 7 * 64, 64), (64,)),
        ("score", (64, 1), (1,)),
    ]


def test_network_is_plain_haiku():
    reader = number_reader((8, 3))
    pictures = jax.random.uniform(jax.random.key(0), (2, 3, 8, 32, 1))
    params = jax.jit(reader.init)(jax.random.key(1), pictures)

    def plain(x):
        for name, features in (("conv_pool", 8), ("conv_pool_1", 3)):
            x = jax.nn.relu(hk.Conv2D(features, 5, name=name)(x))
            x = hk.max_pool(x, (2, 2, 1), (2, 2, 1), "VALID")
        x = jax.nn.relu(hk.Linear(64, name="hidden")(hk.Flatten()(x)))
        return hk.Linear(1, name="score")(x)

    module = hk.without_apply_rng(hk.transform(plain))
    own = {name.split("/")[-1]: p for name, p in params.items()}
    with jax.numpy_rank_promotion("allow"):
        expected = jax.jit(module.apply)(own, pictures.reshape(6, 8, 32, 1)).reshape(2, 3)
    scores = jax.jit(reader.apply)(params, pictures).scores
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_initial_parameters_lie_within_the_fan_in_bound():
    reader = number_reader((32, 64))
    params = jax.jit(reader.init)(jax.random.key(0), np.zeros((1, 28, 112, 1), np.float32))
    for layer in params.values():
        bound = np.prod(layer["w"].shape[:-1]) ** -0.5
        for values in layer.values():
            assert np.abs(values).max() <= bound
        assert np.abs(layer["w"]).max() > 0.9 * bound
