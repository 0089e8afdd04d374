# SPDX-License-Identifier: Apache-2.0
"""Trains a reasoner from scratch, saves it and sorts with it, with the base install alone.

`.ci/run` runs this where nothing but the base is installed; the test suite runs it with everything
else hidden. The programs are those in docs/learned_sort.md, the last with fewer steps.
"""

import os
import re
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path

HEAVY = {"clrs", "tensorflow", "tensorflow_datasets", "orbax", "sklearn", "matplotlib", "tqdm"}
DOC = Path(__file__).resolve().parent.parent / "docs" / "learned_sort.md"


class Hide(MetaPathFinder):
    """Makes the extras' packages impossible to import."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError(f"{name} is not part of the base install")


def main() -> None:
    sys.meta_path.insert(0, Hide())
    programs = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    *others, program = programs
    for other in others:
        exec(other, {})
    assert "steps=6000" in program and "hidden_size=64" in program
    program = program.replace("steps=6000", "steps=4, batch_size=4, copies=2")
    program = program.replace("hidden_size=64", "hidden_size=8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found: dict = {}
        exec(program, found)
        assert sorted(path.name for path in Path().iterdir()) == ["mine.json", "mine.safetensors"]
        os.chdir("/")
    assert int(found["state"].step) == 4
    assert found["values"].shape == (3,)
    assert not HEAVY & {name.split(".")[0] for name in sys.modules}
    print("trained and sorted with the base install alone")


if __name__ == "__main__":
    main()
