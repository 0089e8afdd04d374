# SPDX-License-Identifier: Apache-2.0
"""Any number of devices or processes gives the curve of one device, and nonsense is refused."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import sort_numbers, train_reasoner
from experiments.common import devices, storage
from experiments.common.command_line import FlagError
from tests import eight_devices
from tests.eight_devices import EIGHT, FAST, ROOT, SECONDS
from tests.experiments.flags import kept

SORTING = (
    "--operators=neuralsort:stochastic=true",
    *("--n=2", "--steps=4", "--seeds=1", "--batch_size=8", "--channels=2,2", "--eval_every=1"),
    *("--steps_per_dispatch=1", "--validation_lists=8", "--test_lists=8"),
)
# Neither 8 nor 2 divides 11 lists.
REASONING = (
    *("--lengths=3", "--hidden_size=4", "--steps=4", "--copies=2", "--batch_size=11"),
    *("--log_every=1", "--save_every=2", "--sinkhorn_steps=1", "--evaluation_lists=2"),
)
COMMANDS = {"sort_numbers": SORTING, "train_reasoner": REASONING}
METRICS = {
    "sort_numbers": "runs/neuralsort+stochastic=true/seed_0/metrics.jsonl",
    "train_reasoner": "metrics.jsonl",
}

# Sums in another order differ by about 1e-7. Adam gives a gradient that is zero but for rounding
# the size of any other, so after some steps the losses differ by a little more. With parameters or
# lists that are not the same they differ in the first digits.
RTOL = 1e-4


class Started:
    """A script in a process of its own."""

    def __init__(self, script: str, folder: Path, *arguments: str, **environment: str):
        self._process = subprocess.Popen(
            [
                *(sys.executable, f"experiments/{script}.py"),
                *(*COMMANDS[script], f"--out_dir={folder}", *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
            | {"XLA_FLAGS": FAST}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> SimpleNamespace:
        """Waits for it."""
        try:
            out, err = self._process.communicate(timeout=SECONDS)
        finally:
            self._process.kill()
        return SimpleNamespace(code=self._process.returncode, out=out, err=err)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both scripts on one device, on eight and in two processes, with what they said."""
    folder = tmp_path_factory.mktemp("devices")
    said = {}
    for script in COMMANDS:  # two at a time, so that processes need not wait long for each other
        address = f"localhost:{free_port()}"
        processes = [
            Started(script, folder / script / "processes", f"--distributed={address},2,{index}")
            for index in range(2)
        ]
        said[script, "processes"] = [process.ended() for process in processes]
        one = Started(script, folder / script / "one")
        eight = Started(script, folder / script / "eight", **EIGHT)
        said[script, "one"], said[script, "eight"] = [one.ended()], [eight.ended()]
    for name, processes in said.items():
        for process in processes:
            if process.code != 0:
                pytest.fail(f"{name} ended with {process.code}:\n{process.err[-5000:]}")
    return SimpleNamespace(folder=folder, said=said)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["eight", "processes"])
@pytest.mark.parametrize("script", COMMANDS)
def test_the_curve_is_that_of_one_device(runs, script, how):
    one, other = (
        storage.read_lines(runs.folder / script / name / METRICS[script]) for name in ("one", how)
    )
    assert [record["step"] for record in one] == [1, 2, 3, 4]
    assert [record["step"] for record in other] == [1, 2, 3, 4]
    losses = [[record["loss"] for record in records] for records in (one, other)]
    assert len(set(losses[0])) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=RTOL)
    if script == "train_reasoner":
        shares = [[record["accuracy"] for record in records] for records in (one, other)]
        np.testing.assert_allclose(shares[1], shares[0], rtol=RTOL)


@pytest.mark.slow
@pytest.mark.parametrize("script", COMMANDS)
def test_all_devices_are_used_unless_told_otherwise(runs, script):
    for how, text in (
        ("one", "1 of 1 (cpu)"),
        ("eight", "8 of 8 (cpu)"),
        ("processes", "2 of 2 (cpu), in 2 processes"),
    ):
        assert f"{'devices':18} {text}\n" in runs.said[script, how][0].out


@pytest.mark.slow
@pytest.mark.parametrize("script", COMMANDS)
def test_the_first_process_alone_writes_and_talks(runs, script):
    first, second = runs.said[script, "processes"]
    assert "out_dir" in first.out and "step/s" in first.err
    assert "out_dir" not in second.out and "step/s" not in second.err
    folders = [runs.folder / script / how for how in ("one", "processes")]
    # Orbax has files for each process inside of a checkpoint.
    one, two = (
        {
            path.relative_to(folder)
            for path in folder.rglob("*")
            if path.is_file() and "checkpoints" not in path.parts
        }
        for folder in folders
    )
    assert one == two
    assert len(storage.read_lines(folders[1] / METRICS[script])) == 4  # and not twice as many


@pytest.mark.slow
def test_the_machine_says_how_many_devices_and_processes_there_were(runs):
    for how, used in (("one", (1, 1)), ("eight", (8, 1)), ("processes", (2, 2))):
        folder = runs.folder / "sort_numbers" / how
        machine = storage.read_json(folder / "results.json")["machine"]
        assert (machine["devices"], machine["processes"]) == used
        card = storage.read_json(runs.folder / "train_reasoner" / how / "reasoner.json")
        assert (card["machine"]["devices"], card["machine"]["processes"]) == used


@pytest.mark.slow
def test_what_eight_devices_compute():
    eight_devices.run("-m", "pytest", "-q", "-x", "tests/experiments/common/on_eight_devices.py")


@pytest.fixture
def many(monkeypatch):
    """Makes JAX show processes with so many devices each."""

    def show(*counts: int) -> None:
        shown = [
            SimpleNamespace(process_index=index, id=100 * index + i)
            for index, count in enumerate(counts)
            for i in range(count)
        ]
        monkeypatch.setattr(jax, "devices", lambda: shown)
        monkeypatch.setattr(jax, "process_count", lambda: len(counts))
        monkeypatch.setattr(
            devices, "Mesh", lambda chosen, axes, **_: [device.id for device in chosen]
        )

    return show


@pytest.mark.parametrize(
    "counts, count, batch_size, ids",
    [
        ((1,), None, None, None),
        ((8,), 1, None, None),
        ((8,), None, None, list(range(8))),
        ((8,), 3, None, [0, 1, 2]),
        ((8,), None, 100, [0, 1, 2, 3, 4]),  # the most that divide 100
        ((8,), None, 7, list(range(7))),
        ((4, 4), None, 100, [0, 1, 100, 101]),
        ((2, 4), None, None, [0, 1, 100, 101]),  # as many of each process
    ],
)
def test_devices_are_chosen_so_that_each_has_its_share(many, counts, count, batch_size, ids):
    many(*counts)
    assert devices.choose_mesh(count, batch_size) == ids


@pytest.mark.parametrize(
    "counts, count, batch_size, message",
    [
        ((8,), 9, None, "--devices: received 9, allowed: 1 to 8"),
        ((8,), 0, None, "--devices: received 0, allowed: 1 to 8"),
        ((8,), -1, 4, "--devices: received -1, allowed: 1 to 8"),
        ((8,), 8, 100, "--devices: received 8, allowed: a divisor of the 100 of --batch_size"),
        ((4, 4), 3, None, "--devices: received 3, allowed: a multiple of the 2 processes"),
        ((4, 4), None, 3, "--batch_size: received 3, allowed: a multiple of the 2 processes"),
    ],
)
def test_devices_that_cannot_share_a_batch_are_refused(many, counts, count, batch_size, message):
    many(*counts)
    with pytest.raises(FlagError, match=message):
        devices.choose_mesh(count, batch_size)


@pytest.mark.parametrize("script", [sort_numbers.SCRIPT, train_reasoner.SCRIPT])
@pytest.mark.parametrize(
    "argument, message",
    [
        ("--devices=99", "--devices: received 99, allowed: 1 to"),
        ("--devices=0", "--devices: received 0, allowed: 1 to"),
        ("--devices=all", "--devices=all"),
        ("--distributed=", "--distributed: received '', allowed: auto, or HOST:PORT"),
        ("--distributed=localhost", "--distributed: received 'localhost', allowed"),
        ("--distributed=localhost:1,2", "--distributed: received 'localhost:1,2', allowed"),
        ("--distributed=localhost:1,2,2", "--distributed: received 'localhost:1,2,2', allowed"),
        ("--distributed=localhost:1,1,0", "--distributed: received 'localhost:1,1,0', allowed"),
        ("--distributed=auto", "--distributed: received auto, but"),
    ],
)
def test_nonsense_is_refused_in_one_line(script, argument, message, capsys, monkeypatch):
    def not_found(*_, **__):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", not_found)
    with kept(script.flags), pytest.raises(SystemExit) as ended:
        script.run([script.name, argument])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "argument, arguments",
    [("auto", (None, None, None)), ("10.0.0.1:1234,16,3", ("10.0.0.1:1234", 16, 3))],
)
def test_processes_find_each_other_as_they_are_told(argument, arguments, monkeypatch):
    seen = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: seen.append(args))
    devices.start(argument)
    devices.start(None)
    assert seen == [arguments]
