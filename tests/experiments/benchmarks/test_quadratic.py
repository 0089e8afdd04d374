# SPDX-License-Identifier: Apache-2.0
"""The benchmark of quadratic programs: what it writes, and what it refuses."""

import pytest

from experiments.benchmarks import quadratic
from experiments.common import storage
from tests.experiments.flags import kept, refusal


@kept(quadratic.FLAGS)
def run(*arguments):
    quadratic.SCRIPT.run(["quadratic", *arguments])


@pytest.mark.slow
def test_it_writes_medians_and_prints_a_table(tmp_path, capsys):
    out = tmp_path / "report.json"
    run(
        "--lengths=3",
        "--dtypes=float32",
        "--peers=",
        "--batch_size=2",
        "--repeats=1",
        f"--out={out}",
    )
    assert "| n | precision | arlsort |" in capsys.readouterr().out
    (case,) = storage.read_json(out)["cases"]
    assert (case["n"], case["dtype"]) == (3, "float32") and case["seconds"]["arlsort"] > 0


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--peers=cvxopt", "--peers: received 'cvxopt'"),
        ("--dtypes=float16", "--dtypes: received 'float16'"),
        ("--repeats=0", "--repeats: received 0"),
    ],
)
def test_what_is_not_allowed_is_one_line(flag, words, capsys):
    assert words in refusal(lambda: run(flag), capsys)
