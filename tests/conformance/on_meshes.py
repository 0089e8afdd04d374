# SPDX-License-Identifier: Apache-2.0
"""What `test_platforms.py` runs in processes with eight devices: prints what went wrong.

    python -m tests.conformance.on_meshes SECONDS PART ...

A part is a name of the registry, `likelihoods`, `quadratic` or `comparisons`. All functions are
lowered, which is where types of arrays on meshes are checked; ranks with their gradient, and
solutions with theirs, are compiled and compared with one device; nothing is gathered unless it is
random. After so many seconds it says where it stands, and fails.
"""

import faulthandler
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import arlsort
from arlsort import quadratic
from tests.conformance.conftest import RANDOM_SPECS, SPECS, VALUE_SPECS, build

BATCH = PartitionSpec("data")


def functions(operator):
    found = {"sort": arlsort.sort, "rank": arlsort.rank}
    if operator.has_permutation:
        found["permutation"], found["argsort"] = arlsort.permutation, arlsort.argsort
        found["top_k"] = lambda x, o: arlsort.top_k(x, 2, o)
        found["top_k_mask"] = lambda x, o: arlsort.top_k_mask(x, 2, o)
        found["sort_by"] = lambda x, o: arlsort.sort_by(x, jnp.stack([x, 2 * x], axis=-1), o)

    def everything(x):
        return {name: function(x, operator) for name, function in found.items()}

    def total(x):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(everything(x)))

    def ranks(x):
        ranks, pull = jax.vjp(lambda x: arlsort.rank(x, operator), x)
        return ranks, pull(jnp.cos(x))[0]

    return {"all": everything, "gradients": jax.grad(total)}, ranks


def likelihoods():
    executed = arlsort.LearnedSort(noise="cauchy", normalize=False).log_likelihood
    amortized = arlsort.AmortizedSort(noise="cauchy", normalize=False).log_likelihood
    for likelihood in (executed, amortized, arlsort.cauchy_log_likelihood):

        def run(x, likelihood=likelihood):
            order = jnp.roll(jnp.argsort(jax.lax.stop_gradient(x), axis=-1), 1, axis=-1)
            found, pull = jax.vjp(lambda x: likelihood(x, order, 1 + x**2), x)
            return found, pull(jnp.ones_like(found))[0]

        yield likelihood.__name__, {}, run, False


def programs(x):
    """Programs of five variables, of most of which some constraints hold the solution."""
    far = x[..., None] - x[..., None, :]
    q = jnp.eye(5) + 0.1 * jnp.matmul(far, jnp.swapaxes(far, -1, -2))
    g = jnp.concatenate([jnp.eye(5), -jnp.ones((1, 5))])
    bounds = jnp.concatenate([0.3 + 0.1 * x**2, jnp.ones_like(x[..., :1])], axis=-1)
    return q, -2 * x, g, bounds


def solved(x):
    found = quadratic.solve(*programs(x))
    return jnp.concatenate([found.z, found.inequality_dual], axis=-1)


def denoised(x):
    return quadratic.total_variation(x, 0.1 + 0.1 * x[..., 0] ** 2)


def quadratics():
    for function in (solved, denoised):

        def run(x, function=function):
            found, pull = jax.vjp(function, x)
            return found, pull(jnp.cos(found))[0]

        yield function.__name__, {"all": function}, run, False


def operators(names):
    for spec in [*SPECS, *VALUE_SPECS, *RANDOM_SPECS]:
        if spec.partition(":")[0] in names:
            yield (spec, *functions(build(spec)), build(spec).needs_key)


def comparisons(x, temperature):
    """Networks with a comparator of the user's, of one list for each device."""
    by_size = arlsort.comparison_sort(x, lambda a, b: a - b, temperature=temperature)
    return by_size + arlsort.vector_sort(x, lambda item: item, temperature=temperature)


def main(parts):
    assert jax.device_count() == 8
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    x = jnp.asarray(np.random.default_rng(3).normal(size=(16, 5)), jnp.float32)
    split = jax.device_put(x, NamedSharding(mesh, BATCH))

    def mapped(function):
        return jax.shard_map(function, mesh=mesh, in_specs=BATCH, out_specs=BATCH)

    rows = [*operators(parts), *(likelihoods() if "likelihoods" in parts else ())]
    rows += quadratics() if "quadratic" in parts else ()
    assert rows or "comparisons" in parts, parts
    for name, lowered, ranks, random in rows:
        for how, change in (("shard_map", mapped), ("explicit", lambda function: function)):
            try:
                with jax.set_mesh(mesh):
                    for function in lowered.values():
                        jax.jit(change(function)).lower(split)
                    compiled = jax.jit(change(ranks)).lower(split).compile()
                    got = compiled(split)
                if not random and name != "solved":  # each device has its own lists
                    assert "all-gather" not in compiled.as_text()
                assert all(part.sharding.spec[0] == "data" for part in got)
                if not (random and how == "shard_map"):  # where each device draws the same noise
                    for a, b in zip(got, jax.jit(ranks)(x), strict=True):
                        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
            except Exception as error:
                print(f"{name}, {how}: {type(error).__name__}: {str(error)[:300]}")

    if "comparisons" in parts:
        compare(mesh)


def compare(mesh):
    try:
        row = jnp.array([3.0, 1.0, 2.0])
        with jax.set_mesh(mesh):
            got = jax.jit(comparisons)(row, 0.1), comparisons(row, 0.1)
        for part in got:
            np.testing.assert_allclose(part, jax.jit(comparisons)(row, 0.1), rtol=1e-4)
    except Exception as error:
        print(f"comparisons, explicit: {type(error).__name__}: {str(error)[:300]}")


if __name__ == "__main__":
    seconds, *chosen = sys.argv[1:]
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    main(chosen)
