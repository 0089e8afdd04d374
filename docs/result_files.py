# SPDX-License-Identifier: Apache-2.0
"""Where the files are that tables and figures are made of."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
RESEARCH = RESULTS / "research"
LONG = RESULTS / "long"
ERRORS = RESULTS / "accuracy" / "error_analysis.json"
LENGTHS = RESULTS / "accuracy" / "lengths.json"
NOISE_SCALES = RESULTS / "accuracy" / "noise_scales.json"
ORDER_QUALITY = RESULTS / "accuracy" / "order_quality.json"
TRAINING_SEEDS = RESULTS / "accuracy" / "training_seeds.json"
FIRST_RUNS = RESEARCH / "mnist_n9_losses.json"
READOUTS = RESEARCH / "readouts.json"
SPEED_OF_OPERATORS = RESULTS / "speed" / "benchmark.json"
SPEED_OF_LEARNED = RESULTS / "speed" / "benchmark_learned.json"
SPEED_OF_PROGRAMS = RESULTS / "speed" / "benchmark_relaxed_programs.json"
SPEED_OF_QUADRATIC = RESULTS / "speed" / "benchmark_quadratic.json"
SPEED_OF_STEP = RESULTS / "speed" / "benchmark_training_step.json"
SPEED_OF_REASONER = RESULTS / "speed" / "benchmark_reasoner.json"
IMAGES = ROOT / "docs" / "images"
STUDIES = ROOT / "docs" / "research"
