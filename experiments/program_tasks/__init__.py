# SPDX-License-Identifier: Apache-2.0
"""What a network learns through a relaxed program when only the result of the program is known."""
