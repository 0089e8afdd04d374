# SPDX-License-Identifier: Apache-2.0
"""Networks that learn through a relaxed program when only its result is known."""
