# SPDX-License-Identifier: Apache-2.0
"""The committed reports are those of the scripts as they are: each can be gone on with."""

import json
from pathlib import Path

import pytest

from experiments.common.command_line import FlagError
from experiments.common.reports import open_report
from experiments.four_digits.config import essence, resolve
from experiments.four_digits.results import check_means_the_same, of_earlier_weights
from experiments.research import (
    gradient_quality,
    quick_search,
    stability,
)
from tests.experiments.flags import kept

RESULTS = Path(__file__).resolve().parents[2] / "experiments" / "results"
SCRIPTS = {
    "quick_search": quick_search,
    "stability": stability,
    "gradient_quality": gradient_quality,
}
REPORTS = [
    path
    for path in sorted(RESULTS.rglob("*.json"))
    if json.loads(path.read_text()).get("experiment") in SCRIPTS
]
NOT_OFFERED = ("readout=",)  # by earlier versions
OF_EARLIER_WEIGHTS = (  # not run again since the shipped weights changed
    "gradient_quality_cauchy_likelihood",
    "gradient_quality_plackett_luce",
    "quick_search_n15_readouts",
    "quick_search_n5_algorithms",
    "quick_search_n9",
    "quick_search_n9_losses",
)


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_committed_report_can_be_gone_on_with(path):
    report = json.loads(path.read_text())
    module, config = SCRIPTS[report["experiment"]], report["config"]
    with kept(module.FLAGS):
        flags = []
        for name, value in config.items():
            if name in module.FLAGS:
                text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
                flags.append(f"--{name}={text}")
        module.FLAGS([module.__name__, *flags])
        assert open_report(report["experiment"], module.settings(), path) == report


@pytest.mark.parametrize("path", [p for p in REPORTS if "quick" in p.stem or "gradient" in p.stem])
def test_methods_of_committed_reports_mean_what_they_meant(path):
    report = json.loads(path.read_text())
    specs = {record["method"]: record for record in report["records"]}
    for spec, record in specs.items():
        if any(name in spec for name in NOT_OFFERED):
            with pytest.raises(FlagError, match="readout"):
                resolve({"operators": [spec], "n": 5})
        elif "checkpoint=" not in spec:  # those are made by ablations.py and multi_task.py
            _, methods = resolve({"operators": [spec], "n": record.get("n", 5)})
            identity = record.get("identity", {})
            if "readout" in ((essence(identity) if identity else {}).get("operator") or {}):
                with pytest.raises(FlagError, match="name another file"):  # P is another now
                    check_means_the_same(report, methods, path)
            elif path.stem in OF_EARLIER_WEIGHTS and record.get("weights") != methods[0].weights:
                with pytest.raises(FlagError, match="of earlier weights; name another"):
                    check_means_the_same({"records": [record]}, methods, path)
            else:
                check_means_the_same(report, methods, path)


def test_a_method_with_other_defaults_is_refused(tmp_path):
    _, methods = resolve({"operators": ["softsort:temperature=0.1@bce"], "n": 5})
    record = {"method": methods[0].spec, "identity": methods[0].identity}
    check_means_the_same({"records": [record]}, methods, tmp_path)
    record["identity"] = {
        **record["identity"],
        "operator": {**record["identity"]["operator"], "temperature": 0.2},
    }
    with pytest.raises(FlagError, match=r"was .*softsort.*name another file"):
        check_means_the_same({"records": [record]}, methods, tmp_path)
    del record["identity"]
    with pytest.raises(FlagError, match=r"was of an earlier version; name another file"):
        check_means_the_same({"records": [record]}, methods, tmp_path)


def test_a_method_with_other_weights_is_refused_and_said(tmp_path):
    spec = "amortized:noise=cauchy,normalize=false@bce"
    config, methods = resolve({"operators": [spec], "n": 5})
    record = {"method": spec, "identity": methods[0].identity, "weights": methods[0].weights}
    check_means_the_same({"records": [record]}, methods, tmp_path)
    report = {"config": {"loss": config.loss}, "weights": {spec: methods[0].weights}}
    assert of_earlier_weights(report) == ""
    del record["weights"]
    with pytest.raises(FlagError, match=r"was of unknown weights; name another file"):
        check_means_the_same({"records": [record]}, methods, tmp_path)
    record["weights"] = report["weights"][spec] = "0" * 64
    with pytest.raises(FlagError, match=r"was of earlier weights; name another file"):
        check_means_the_same({"records": [record]}, methods, tmp_path)
    assert of_earlier_weights(report) == f"With earlier weights: `{spec}`."
