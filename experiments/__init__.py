# SPDX-License-Identifier: Apache-2.0
"""Scripts to run, the tasks they are about, and what they share; README.md lists the commands."""
