# SPDX-License-Identifier: Apache-2.0
"""What an operator of a run is, so that one whose defaults or weights have changed is another."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from arlsort.amortized import checkpoint as amortized
from arlsort.operators.amortized import AmortizedSort
from arlsort.operators.base import Operator
from arlsort.operators.learned import LearnedSort
from arlsort.reasoner import checkpoint


def fields(spec: str, operator: Operator | None) -> dict[str, Any] | None:
    """All settings of an operator by name, as JSON can hold them; None if there is none."""
    if operator is None:
        return None
    values = {f.name: getattr(operator, f.name) for f in dataclasses.fields(operator)}
    values = {n: repr(v) if isinstance(v, Operator) else v for n, v in values.items()}
    return {"name": re.split("[:@]", spec)[0].strip(), **values}


def weights(operator: Operator | None, *, likelihood: bool = False) -> str | None:
    """The SHA-256 of the trained weights of an operator that has any.

    Args:
      operator: The operator, if there is one.
      likelihood: Whether it gives likelihoods of orders, for which other weights are shipped.
    """
    if isinstance(operator, AmortizedSort):
        shipped = amortized.shipped_path(operator.noise, of_orders=likelihood)
        return amortized.load_card(operator.checkpoint or shipped)["sha256"]
    if not isinstance(operator, LearnedSort):
        return None
    path = operator.checkpoint or checkpoint.shipped_path(
        operator.algorithm, operator.noise, likelihood=likelihood
    )
    return checkpoint.load_card(path)["sha256"]


def of_earlier_weights(found: Iterable[tuple[str, str | None, str | None]]) -> str:
    """Says which methods had other weights than those that are shipped now.

    Args:
      found: Of each method its text, the SHA-256 of the weights that it had, and of those that it
        has now; None where there are none, or where none were noted.

    Returns:
      A sentence; empty if there are none.

    Example:
      >>> of_earlier_weights([("amortized", "1f", "2e"), ("lapsum", None, None)])
      'With earlier weights: `amortized`.'
    """
    named = [f"`{spec}`" for spec, had, has in found if had != has]
    return f"With earlier weights: {', '.join(named)}." if named else ""
