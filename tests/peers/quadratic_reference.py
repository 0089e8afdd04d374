# SPDX-License-Identifier: Apache-2.0
"""Quadratic programs by qpax and qpth: solutions, and gradients of a weighted sum of them.

  python -m tests.peers.quadratic_reference

writes tests/quadratic_reference.json, which the default tests compare with. qpth asks for an old
NumPy that it does not need: `pip install --no-deps qpth`.
"""

import importlib.metadata
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

FILE = Path(__file__).resolve().parents[1] / "quadratic_reference.json"
ROWS = 3
NAMES = ("Q", "p", "G", "h", "A", "b")


def qpax(weights, arrays):
    """By the backend whose gradient of G is right, its smoothing all but switched off."""
    import qpax as package

    def one(weight, Q, p, G, h, A, b):
        options = {"backend": "i", "solver_tol": 1e-9, "target_kappa": 1e-10}
        z = package.solve_qp_primal(Q, p, A, b, G, h, **options)
        return (weight * z).sum(), z

    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        of_row = jax.value_and_grad(one, argnums=range(1, 7), has_aux=True)
        arrays = (jnp.asarray(array, float) for array in (weights, *arrays))
        (_, z), slopes = jax.vmap(of_row)(*arrays)
        return np.asarray(z), [np.asarray(slope) for slope in slopes]


def qpth(weights, arrays):
    """In double precision; every row has its parameters, so that nothing is averaged."""
    import torch
    from qpth.qp import QPFunction

    tensors = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    z = QPFunction(verbose=-1)(*tensors)
    (torch.tensor(weights) * z).sum().backward()
    return z.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


PACKAGES = {"qpax": qpax, "qpth": qpth}


def main():
    from tests.test_quadratic import WEIGHTS, programs

    arrays = [array[:ROWS].round(3) for array in programs(ROWS)]
    weights = WEIGHTS[0][:ROWS].round(3)
    cases = {}
    for name, solve in PACKAGES.items():
        z, slopes = solve(weights, arrays)
        cases[name] = {"version": importlib.metadata.version(name), "z": z.tolist()}
        cases[name] |= {n: slope.tolist() for n, slope in zip(NAMES, slopes, strict=True)}
    report = {
        "command": "python -m tests.peers.quadratic_reference",
        "note": "z, and the gradients of sum(weights * z), in float64; qpax with backend i",
        "weights": weights.tolist(),
        "programs": {n: array.tolist() for n, array in zip(NAMES, arrays, strict=True)},
        "packages": cases,
    }
    FILE.write_text(json.dumps(report, indent=0).replace(",\n", ", ") + "\n")


if __name__ == "__main__":
    main()
