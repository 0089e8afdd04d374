# SPDX-License-Identifier: Apache-2.0
"""How the amortised sort does on long lists is measured and drawn."""

import pytest

from arlsort.amortized import checkpoint
from experiments.common import storage
from experiments.research import lengths


def _row(kind, temperature, kl):
    return {"kind": kind, "n": 8, "temperature": temperature, "kl": kl, "values": kl / 2}


def _report(*measured_at):
    measured = [
        _row(kind, temperature, kl)
        for kind in lengths.KINDS
        for temperature, kl in zip(lengths.TEMPERATURES, (0.04, 0.02, 0.01), strict=True)
    ]
    records = [{"noise": "gaussian", "n": n, "measured": measured} for n in measured_at]
    return {"records": records}


def test_a_row_has_all_temperatures_and_the_worst_value(tmp_path):
    report = _report(8, 128)
    lines = lengths.table(report).splitlines()
    assert lines[2] == "| gaussian | uniform | 8 | 0.040 / 0.020 / 0.010 | 0.02 |"
    assert len(lines) == 6
    assert lengths.draw(report, tmp_path / "lengths.png").stat().st_size > 1000


@pytest.mark.parametrize("measured_at, shaded", [((4, 8), None), ((8, 64), None), ((8, 128), 128)])
def test_lengths_beyond_those_of_training_alone_are_shaded(
    measured_at, shaded, tmp_path, monkeypatch
):
    kept = []
    monkeypatch.setattr(lengths.figures, "save", lambda figure, path: kept.append(figure))
    lengths.draw(_report(*measured_at), tmp_path / "lengths.png")
    (ax,) = kept[0].axes
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    trained = max(checkpoint.shipped("gaussian").training.lengths)
    assert spans == ([] if shaded is None else [(trained, shaded)])


@pytest.mark.slow
def test_what_is_measured_is_kept(tmp_path):
    out = tmp_path / "lengths.json"
    flags = ["lengths", "--noises=gaussian", "--lengths=4", "--lists=2", f"--out={out}"]
    for _ in range(2):
        lengths.FLAGS.unparse_flags()
        lengths.FLAGS(flags)
        lengths.main()
    assert out.with_suffix(".png").stat().st_size > 1000
    (record,) = storage.read_json(out)["records"]
    assert all(row["kl"] < 0.03 for row in record["measured"])
