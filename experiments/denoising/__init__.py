# SPDX-License-Identifier: Apache-2.0
"""Denoising series: the data, the models, their training, the report."""
