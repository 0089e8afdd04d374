# SPDX-License-Identifier: Apache-2.0
"""How the amortised sort does on long lists is measured and drawn."""

import pytest

from experiments.common import storage
from experiments.research import lengths


def _row(kind, temperature, kl):
    return {"kind": kind, "n": 8, "temperature": temperature, "kl": kl, "values": kl / 2}


def test_a_row_has_all_temperatures_and_the_worst_value(tmp_path):
    measured = [
        _row(kind, temperature, kl)
        for kind in lengths.KINDS
        for temperature, kl in zip(lengths.TEMPERATURES, (0.04, 0.02, 0.01), strict=True)
    ]
    report = {"records": [{"noise": "gaussian", "n": n, "measured": measured} for n in (8, 128)]}
    lines = lengths.table(report).splitlines()
    assert lines[2] == "| gaussian | uniform | 8 | 0.040 / 0.020 / 0.010 | 0.02 |"
    assert len(lines) == 6
    assert lengths.draw(report, tmp_path / "lengths.png").stat().st_size > 1000


@pytest.mark.slow
def test_what_is_measured_is_kept(tmp_path):
    out = tmp_path / "lengths.json"
    flags = ["lengths", "--noises=gaussian", "--lengths=4", "--lists=2", f"--out={out}"]
    for _ in range(2):
        lengths.FLAGS.unparse_flags()
        lengths.FLAGS(flags)
        lengths.main()
    (record,) = storage.read_json(out)["records"]
    assert all(row["kl"] < 0.03 for row in record["measured"])
