# SPDX-License-Identifier: Apache-2.0
"""How near the amortised sort is with noise scales is measured and shown."""

import numpy as np
import pytest

from experiments.common import storage
from experiments.research import noise_scales


def test_the_exact_mean_has_these_noise_scales():
    x, scales = np.array([[0.0, 1.0]], np.float32), np.array([[3.0, 4.0]], np.float32)
    swapped = noise_scales.exact(x, scales, "gaussian")[0, 0, 1]
    assert swapped == pytest.approx(0.42074, abs=2e-4)  # of a normal deviation of 5: below -1 / 5


def test_a_row_is_of_the_worst_temperature():
    measured = [
        {"spread": spread, "temperature": t, "kl": t * spread, "values": t / spread}
        for spread in noise_scales.SPREADS
        for t in (0.01, 0.1)
    ]
    report = {"records": [{"noise": "cauchy", "n": 5, "measured": measured}]}
    assert "| cauchy | 5 | 0.0500, 0.200 | 0.1000, 0.100 |" in noise_scales.table(report)


@pytest.mark.slow
def test_what_is_measured_is_kept(tmp_path):
    out = tmp_path / "noise_scales.json"
    flags = ["noise_scales", "--noises=gaussian", "--lengths=4", "--lists=2", f"--out={out}"]
    for _ in range(2):
        noise_scales.FLAGS.unparse_flags()
        noise_scales.FLAGS(flags)
        noise_scales.main()
    (record,) = storage.read_json(out)["records"]
    assert all(row["kl"] < 0.03 for row in record["measured"])
