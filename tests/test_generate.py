# SPDX-License-Identifier: Apache-2.0
"""Every generated table is what `docs/generate.py` writes, and says what the files hold."""

import importlib.util
import math
from pathlib import Path

import pytest

from docs import drawing
from experiments.common import storage
from experiments.four_digits import results

DOCS = Path(__file__).resolve().parents[1] / "docs"
_spec = importlib.util.spec_from_file_location("docs.generate", DOCS / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def run(operator, seed, em):
    test = {"em": em, "ew": 0.5, "em5": em}
    return {"operator": operator, "seed": seed, "test": test, "seconds": 10.0 + seed}


RUNS = [run("a", 0, 0.4), run("a", 1, 0.5), run("a", 2, 0.6), run("b", 0, 0.25)]


@pytest.mark.parametrize("path", generate.SECTIONS, ids=lambda path: path.name)
def test_documents_are_current(path):
    text = path.read_text(encoding="utf-8")
    assert generate.updated(path) == text, "run: python docs/generate.py"


@pytest.mark.parametrize("path", generate.SECTIONS, ids=lambda path: path.name)
def test_generated_tables_are_marked_once(path):
    text = path.read_text(encoding="utf-8")
    for marker in generate.SECTIONS[path]:
        assert text.count(f"<!-- {marker}:begin -->") == 1
        assert text.count(f"<!-- {marker}:end -->") == 1
    assert text.count(":begin -->") == len(generate.SECTIONS[path])


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    drawing.draw_methods(tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in (DOCS / "images").iterdir()}


def test_summary_is_mean_and_sample_deviation():
    a, b = results.summarise(RUNS)
    assert a["em"]["mean"] == pytest.approx(0.5)
    assert a["em"]["sd"] == pytest.approx(math.sqrt(0.02 / 2))
    assert a["seeds"] == 3
    assert a["seconds"] == pytest.approx(11.0)
    assert b["em"] == {"mean": 0.25, "sd": None}
    assert results.cell(a["em"]) == "50.0 ± 10.0"
    assert results.cell(b["em"]) == "25.0"


def example(**config):
    settings = {
        "dataset": "mnist",
        "resolution": "half",
        "n": 5,
        "steps": 1000,
        "batch_size": 100,
        "learning_rate": 1e-3,
        "channels": [32, 64],
        "test_lists": 10_000,
    }
    return {
        "config": settings | config,
        "seeds": [0, 1, 2],
        "picture": [14, 56, 1],
        "machine": {"device": "cpu", "backend": "cpu", "cpus": 2},
        "summary": results.summarise(RUNS),
    }


def test_tables_are_rendered_from_files(tmp_path):
    storage.write_json(tmp_path / "mnist.json", example())
    storage.write_json(tmp_path / "digits.json", example(dataset="digits"))
    text = generate.comparisons(tmp_path)
    digits, mnist = text.split("**MNIST**")
    assert "| `a` | 50.0 ± 10.0 | 50.0 ± 0.0 | 50.0 ± 10.0 |" in digits
    assert "Reduced" not in digits
    assert "(14×56 pixels), 1,000 steps of 100 lists" in mnist
    assert (
        "Reduced from the published protocol: resolution half instead of full; steps 1000 instead "
        "of 100000; learning_rate 0.001 instead of 0.000316." in mnist
    )


def test_published_run_is_called_published(tmp_path):
    settings = {"resolution": "full", "steps": 100_000, "learning_rate": 10**-3.5}
    storage.write_json(tmp_path / "mnist.json", example(**settings))
    assert "The published protocol." in generate.comparisons(tmp_path)


def test_tables_replace_what_is_between_the_markers():
    text = "a\n<!-- speed:begin -->\nold\n<!-- speed:end -->\nb"
    once = generate.replace(text, "speed", "new")
    assert once == "a\n<!-- speed:begin -->\nnew\n<!-- speed:end -->\nb"
    assert generate.replace(once, "speed", "new") == once
