# SPDX-License-Identifier: Apache-2.0
"""AlgoVision's vocabulary, for programs that exist: change the import, and `torch` to `jnp`.

Arguments, defaults and results are AlgoVision's: arrays have a leading batch axis, beta is one over
the temperature, and an algorithm returns a tuple in the order of its outputs. AlgoVision's rows can
depend on the others of their batch; here each row is a batch of one.

Example:
  >>> import jax.numpy as jnp
  >>> from arlsort.programs.algovision import Algorithm, Input, LT, Let, Output, Var, While
  >>> counting = Algorithm(
  ...     Input("values"),
  ...     Var("x", jnp.array(0.0)),
  ...     While(LT("x", 5), Let("x", lambda x: x + 1)),
  ...     Output("x"),
  ...     beta=20,
  ... )
  >>> print(counting(jnp.zeros(2)).round(1))
  [5.5 5.5]
"""

from arlsort.programs.algovision.conditions import (
    GT,
    LT,
    CatProbEq,
    CosineSimilarity,
    Eq,
    GEq,
    IsFalse,
    IsTrue,
    LEq,
    NEq,
)
from arlsort.programs.algovision.core import (
    Algorithm,
    Input,
    Output,
    Var,
    Variable,
    VariableInt,
    VarInt,
)
from arlsort.programs.algovision.functions import ArgMax, ArgMin, Max, Min
from arlsort.programs.algovision.instructions import Let, LetInt, Print
from arlsort.programs.algovision.structures import For, If, While

__all__ = [
    "GT",
    "LT",
    "Algorithm",
    "ArgMax",
    "ArgMin",
    "CatProbEq",
    "CosineSimilarity",
    "Eq",
    "For",
    "GEq",
    "If",
    "Input",
    "IsFalse",
    "IsTrue",
    "LEq",
    "Let",
    "LetInt",
    "Max",
    "Min",
    "NEq",
    "Output",
    "Print",
    "Var",
    "VarInt",
    "Variable",
    "VariableInt",
    "While",
]
