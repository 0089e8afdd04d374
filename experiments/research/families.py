# SPDX-License-Identifier: Apache-2.0
"""The families of methods that a contest compares, with equally many candidates each."""

from collections.abc import Container


def _soft(operator: str, *temperatures: float) -> tuple[str, ...]:
    """Three temperatures by two losses."""
    joined = operator + ("," if ":" in operator else ":")
    return tuple(
        f"{joined}temperature={t}@{loss}" for t in temperatures for loss in ("bce", "rows")
    )


def _scaled(loss: str) -> tuple[str, ...]:
    """Three temperatures with noise scales and without."""
    return tuple(f"loss:{loss}/{t}{end}" for t in (0.03, 0.1, 0.3) for end in ("+noise_scales", ""))


def _amortized(loss: str, *temperatures: float) -> tuple[str, ...]:
    joined = "amortized:noise=cauchy,normalize=false,"
    return tuple(f"{joined}temperature={t}@{loss}" for t in temperatures)


FAMILIES = {
    "amortized": (
        *_amortized("likelihood+noise_scales", 0.03, 0.1, 0.3),
        *_amortized("likelihood", 0.1),
        *_amortized("bce+noise_scales", 0.1),
        *_amortized("bce", 0.1),
    ),
    "learned": (
        *(
            f"learned:noise=cauchy,temperature={t}@likelihood+noise_scales"
            for t in (0.03, 0.1, 0.3)
        ),
        *(f"learned:noise=cauchy,temperature={t}@likelihood" for t in (0.03, 0.1)),
        "learned:noise=cauchy,temperature=0.1@trace",
    ),
    "cauchy": _soft("odd_even", 0.03, 0.1, 0.3),
    "optimal": _soft("odd_even:distribution=optimal", 0.03, 0.1, 0.3),
    "logistic": _soft("odd_even:distribution=logistic", 0.03, 0.1, 0.3),
    "error_free": tuple(
        f"odd_even:distribution={d},error_free=true,temperature={t}@error_free"
        for d in ("optimal", "cauchy")
        for t in (0.03, 0.1, 0.3)
    ),
    "neuralsort": _soft("neuralsort", 0.3, 1.0, 5.0),
    "sinkhorn": _soft("sinkhorn", 0.01, 0.03, 0.1),
    "lapsum": _soft("lapsum", 0.1, 0.3, 1.0),
    **{
        name: tuple(f"loss:{name}/{t}" for t in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0))
        for name in ("plackett_luce", "pairwise")
    },
    **{name: _scaled(name) for name in ("cauchy_pairs", "cauchy_likelihood")},
    "cauchy_noise_scales": _scaled("cauchy_network"),
}
"""The candidates of each family, by its name."""

OURS = ("amortized", "learned")
"""The learned sorts; what is compared with all others is the first one that was run."""
WITH_NOISE_SCALES = "cauchy_noise_scales"
"""A rival of our own making: no published sort has an input for noise scales."""
CONTROLS = ("plackett_luce", "pairwise", "cauchy_pairs", "cauchy_likelihood")
"""Those that are no sorts: losses on the scores themselves."""

TITLES = {
    "amortized": "amortised sort",
    "learned": "executed sort",
    "cauchy": "Cauchy network",
    "optimal": "optimal network",
    "logistic": "logistic network",
    "error_free": "error-free network",
    "neuralsort": "NeuralSort",
    "sinkhorn": "Sinkhorn",
    "lapsum": "LapSum",
    "cauchy_noise_scales": "Cauchy network with noise scales",
    "plackett_luce": "Plackett-Luce",
    "pairwise": "pairwise logistic",
    "cauchy_pairs": "pairwise Cauchy",
    "cauchy_likelihood": "exact Cauchy likelihood",
}
"""What tables call them, in the order of tables."""


def ours(names: Container[str]) -> str | None:
    """The learned sort that a contest of these families compares with all others."""
    return next((name for name in OURS if name in names), None)
