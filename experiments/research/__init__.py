# SPDX-License-Identifier: Apache-2.0
"""Studies, each run on its own: `python -m experiments.research.contest`, for example."""
