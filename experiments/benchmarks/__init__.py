# SPDX-License-Identifier: Apache-2.0
"""Time and memory: `python -m experiments.benchmarks.operators` and `.reasoner`."""
