# SPDX-License-Identifier: Apache-2.0
"""Programs in AlgoVision's vocabulary, for the package and for ours: `v` is one or the other.

They are after the examples of the package and of its README, which has the MIT licence.

As a script, in an environment with `algovision` and `torch`, it writes what the package gives:

  python -m tests.programs.algovision_programs tests/programs/algovision_reference.json
"""

import json
import sys
from typing import Any

import numpy as np

WALL = 1e12
NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


def bubble_sort(v: Any, xp: Any, beta: float, **options: Any) -> Any:
    return v.Algorithm(
        v.Input("array"),
        v.Var("a", xp.array(0.0)),
        v.Var("b", xp.array(0.0)),
        v.Var("swapped", xp.array(1.0)),
        v.Var("any", xp.array(0.0)),
        v.Var("swaps", xp.array(0.0)),
        v.VarInt("j", 0),
        v.VarInt("n", lambda array: array.shape[1] - 1),
        v.While(
            v.IsTrue("swapped"),
            v.Let("swapped", 0),
            v.For(
                "i",
                "n",
                v.LetInt("j", lambda i: i + 1),
                v.Let("a", "array", ["i"]),
                v.Let("b", "array", ["j"]),
                v.If(
                    v.GT("a", "b"),
                    if_true=[
                        v.Let("array", [lambda i: i + 1], "a"),
                        v.Let("array", ["i"], "b"),
                        v.Let("swapped", lambda swapped: 1.0),
                        v.Let("any", 1.0),
                        v.Let("swaps", lambda swaps: swaps + 1.0),
                    ],
                ),
            ),
            v.LetInt("n", lambda n: n - 1),
        ),
        v.Output("array"),
        v.Output("any"),
        v.Output("swaps"),
        beta=beta,
        **options,
    )


def levenshtein(v: Any, xp: Any, beta: float, **options: Any) -> Any:
    least = v.Min(beta)
    return v.Algorithm(
        v.Input("s"),
        v.Input("t"),
        v.Var("d", lambda s, t: xp.edges(s.shape[1] + 1, t.shape[1] + 1)),
        v.Var("cost", xp.array(0.0)),
        v.Var("best", xp.array(0.0)),
        v.VarInt("m", lambda s: s.shape[1]),
        v.VarInt("n", lambda t: t.shape[1]),
        v.For(
            "i",
            "m",
            v.For(
                "j",
                "n",
                v.If(
                    v.CatProbEq(lambda s, i: s[:, i], lambda t, j: t[:, j]),
                    if_true=v.Let("cost", 0.0),
                    if_false=v.Let("cost", 1.0),
                ),
                v.Let(
                    "best",
                    lambda d, i, j, cost: least(
                        d[:, i, j + 1] + 1, d[:, i + 1, j] + 1, d[:, i, j] + cost
                    ),
                ),
                v.Let("d", [lambda i: i + 1, lambda j: j + 1], "best"),
            ),
        ),
        v.Let("best", "d", [-1, -1]),
        v.Output("best"),
        beta=beta,
        **options,
    )


def shortest_path(
    v: Any, xp: Any, beta: float, steps: int, tconorm: str = "probabilistic", **options: Any
) -> Any:
    def relax(d: Any, cost: Any) -> Any:
        h, w = cost.shape[1:]
        around = xp.stack([d[:, 1 + i : 1 + i + h, 1 + j : 1 + j + w] for i, j in NEIGHBOURS])
        share = xp.softmin(beta * around)
        return xp.pad((share * around).sum(-1) + cost, WALL), share

    def back(at: Any, before: Any) -> Any:
        h, w = at.shape[1:]
        sent = [xp.pad(at * before[..., k], 0.0) for k in range(8)]
        return sum(
            one[:, 1 - i : 1 - i + h, 1 - j : 1 - j + w]
            for one, (i, j) in zip(sent, NEIGHBOURS, strict=True)
        )

    joins = {
        "probabilistic": lambda marked, at: marked + at - marked * at,
        "hamacher": lambda marked, at: (marked + at + 3 * marked * at) / (1 + 4 * marked * at),
        "yager": lambda marked, at: 1 - xp.relu(1 - marked - at),
    }
    return v.Algorithm(
        v.Input("cost"),
        v.Var("d", lambda cost: xp.full((cost.shape[1] + 2, cost.shape[2] + 2), WALL)),
        v.Var("before", lambda cost: xp.full((cost.shape[1], cost.shape[2], 8), 0.0)),
        v.Var("at", lambda cost: xp.full((cost.shape[1], cost.shape[2]), 0.0)),
        v.Var("marked", lambda cost: xp.full((cost.shape[1], cost.shape[2]), 0.0)),
        v.Let("d", [1, 1], 0.0),
        v.Let("at", [-1, -1], 1.0),
        v.For("k", steps, v.Let(["d", "before"], relax_as(relax)), v.Let("d", [1, 1], 0.0)),
        v.For("k", steps, v.Let("marked", joins[tconorm]), v.Let("at", back_as(back))),
        v.Output("marked"),
        beta=beta,
        **options,
    )


def relax_as(relax: Any) -> Any:
    return lambda d, cost: relax(d, cost)


def back_as(back: Any) -> Any:
    return lambda at, before: back(at, before)


def counting(v: Any, xp: Any, beta: float, **options: Any) -> Any:
    return v.Algorithm(
        v.Input("x"),
        v.While(v.LT("x", 5), v.Let("x", lambda x: x + 1)),
        v.Output("x"),
        beta=beta,
        **options,
    )


PROGRAMS = {
    "bubble_sort": bubble_sort,
    "levenshtein": levenshtein,
    "shortest_path": shortest_path,
    "counting": counting,
}


def cases() -> list[dict[str, Any]]:
    """What is recorded: programs, options and inputs of one row each."""
    generator = np.random.default_rng(3)
    found: list[dict[str, Any]] = []

    def add(program: str, *inputs: Any, **options: Any) -> None:
        listed = [np.asarray(one).tolist() for one in inputs]
        found.append({"program": program, "options": options, "inputs": listed})

    for n in (3, 5, 7, 10):
        for beta in (1, 8, 50):
            add("bubble_sort", generator.normal(size=(1, n)), beta=beta, epsilon=0.0)
    add("bubble_sort", generator.normal(size=(1, 5)), beta=10)
    add("bubble_sort", np.ones((1, 3)), beta=8, epsilon=0.0)
    for beta in (2, 10):
        strings = [generator.dirichlet(0.4 * np.ones(3), size=(1, size)) for size in (4, 3)]
        add("levenshtein", *strings, beta=beta, epsilon=0.0)
    for tconorm in ("probabilistic", "hamacher", "yager"):
        costs = generator.uniform(0.2, 1.2, size=(1, 4, 3))
        add("shortest_path", costs, beta=10, steps=3, tconorm=tconorm)
    add("counting", np.array([0.3]), beta=1.25)
    return found


def outputs_and_weights(outputs: Any) -> tuple[list[Any], list[np.ndarray]]:
    """The outputs as a list, and weights of no symmetry, to make one number of them."""
    listed = list(outputs) if isinstance(outputs, tuple) else [outputs]
    sizes = [int(np.prod(one.shape)) for one in listed]
    weights = [np.cos(1.0 + np.arange(size)) for size in sizes]
    return listed, [w.reshape(one.shape) for w, one in zip(weights, listed, strict=True)]


def main() -> None:
    """Writes what the package gives."""
    import algovision
    import torch

    header = {
        "what": "outputs of programs in float64, and gradients of a weighted sum of them",
        "package": "algovision 0.1.2",
        "torch": torch.__version__,
        "command": "python -m tests.programs.algovision_programs "
        "tests/programs/algovision_reference.json",
    }
    recorded = [{**case, **of_package(algovision, torch, case)} for case in cases()]
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case) for case in recorded)
        file.write(f'{{"header": {json.dumps(header, indent=1)},\n"cases": [\n{lines}\n]}}\n')


def of_package(algovision: Any, torch: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What the package gives: outputs, and gradients by the inputs of their weighted sum."""
    torch.set_default_dtype(torch.float64)

    class Torch:
        array, full, relu = torch.tensor, torch.full, torch.relu

        @staticmethod
        def stack(parts: Any) -> Any:
            return torch.stack(parts, -1)

        @staticmethod
        def softmin(values: Any) -> Any:
            return torch.softmax(-values, -1)

        @staticmethod
        def pad(values: Any, constant: float) -> Any:
            return torch.nn.functional.pad(values, (1, 1, 1, 1), "constant", constant)

        @staticmethod
        def edges(m: int, n: int) -> Any:
            table = torch.zeros(m, n)
            table[:, 0], table[0, :] = torch.arange(float(m)), torch.arange(float(n))
            return table

    inputs = [torch.tensor(one, requires_grad=True) for one in case["inputs"]]
    program = PROGRAMS[case["program"]](algovision, Torch, **case["options"])
    outputs, weights = outputs_and_weights(program(*inputs))
    pairs = zip(outputs, weights, strict=True)
    sum((one * torch.tensor(w)).sum() for one, w in pairs).backward()
    return {
        "outputs": [one.tolist() for one in outputs],
        "gradients": [one.grad.tolist() for one in inputs],
    }


if __name__ == "__main__":
    main()
