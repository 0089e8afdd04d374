# SPDX-License-Identifier: Apache-2.0
"""A forecast counts every step and evaluation, and says its times as a person does."""

import dataclasses
import types

import pytest

from experiments.common import datasets
from experiments.common.command_line import FlagError
from experiments.four_digits import forecast
from experiments.four_digits.config import resolve


def test_evaluations_of_the_published_protocol_are_counted():
    config, _ = resolve({"protocol": "published", "operators": ["odd_even"]})
    assert forecast.evaluated_batches(config) == 100 * 50 + 100  # and the test


def test_whole_dispatches_are_timed_and_every_program_is_counted(monkeypatch):
    config, (method,) = resolve({"operators": ["odd_even"], "n": 2, "batch_size": 4})
    config = dataclasses.replace(config, steps_per_dispatch=500)
    called = []

    def stand_in(name):
        def fake(*args):
            called.append((name, args[2] if name == "evaluate" else args[-1]))
            return types.SimpleNamespace(params=None) if name in ("init", "train") else 0.0

        monkeypatch.setattr(forecast.training, name, fake)

    for name in ("init", "train", "evaluate", "keep_best", "soft_permutation"):
        stand_in(name)
    monkeypatch.setattr(forecast.jax, "block_until_ready", lambda value: value)
    splits = datasets.Splits("train", "validation", "test")
    found = forecast.measure(config, method, splits, 199)
    assert [count for name, count in called if name == "train"] == [99, 99]  # not one by one
    assert {split for name, split in called if name == "evaluate"} == {"validation", "test"}
    assert {"keep_best", "soft_permutation"} <= {name for name, _ in called}
    assert found.compiling >= 0 and found.n == 2


def test_times_are_added_up_over_methods_and_n():
    rows = [
        forecast.Forecast(n, "odd_even", 1.0, 0.5, 30.0, seconds - 1, seconds, 100)
        for n, seconds in ((5, 100.0), (9, 260.0), (15, 36_000.0))
    ]
    lines = [line.split("  ") for line in forecast.table(rows).splitlines()]
    assert [line[-1].strip() for line in lines] == [
        *("all seeds", "100.0 s", "4.3 min", "10.0 h"),
        "10.1 h",
    ]
    assert "200" in lines[1]  # lists a second


def test_more_steps_than_there_are_cannot_be_forecast_from():
    config, _ = resolve({"operators": ["odd_even"], "steps": 10})
    forecast.check(10, [config])
    for steps in (1, 11):
        with pytest.raises(FlagError, match="--dry_run"):
            forecast.check(steps, [config])
