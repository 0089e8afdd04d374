# SPDX-License-Identifier: Apache-2.0
"""Trains both learned sorts from scratch and sorts with them, with the base install alone.

`.ci/run` runs this where nothing but the base is installed; the test suite runs it with everything
else hidden. The programs are those in docs/learned_sort.md and docs/train_your_own.md, with fewer
steps of training.
"""

import os
import re
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path

HEAVY = {"clrs", "tensorflow", "tensorflow_datasets", "orbax", "sklearn", "matplotlib"}
DOCS = Path(__file__).resolve().parent.parent / "docs"


class Hide(MetaPathFinder):
    """Makes the extras' packages impossible to import."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError(f"{name} is not part of the base install")


def programs(page: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def main() -> None:
    sys.meta_path.insert(0, Hide())
    for program in programs("learned_sort"):
        exec(program, {})
    amortized, executed = programs("train_your_own")
    for program, file, fewer in (
        (amortized, "mine", "batch_size=4"),
        (executed, "heapsort", "batch_size=4, copies=2"),
    ):
        assert "steps=6000" in program
        program = program.replace("steps=6000", f"steps=4, {fewer}")
        program = program.replace("hidden_size=64", "hidden_size=8")
        found: dict = {}
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            exec(program, found)
            files = sorted(path.name for path in Path().iterdir())
            assert files == [f"{file}.json", f"{file}.safetensors"]
            os.chdir("/")
        assert int(found["state"].step) == 4
        assert found["values"].shape == (3,)
    assert not HEAVY & {name.split(".")[0] for name in sys.modules}
    print("trained and sorted with the base install alone")


if __name__ == "__main__":
    main()
