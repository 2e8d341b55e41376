"""Several processes: two on CPUs (gloo), by DDP and by FSDP, train the same weights as one process."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from lar import distill
from lar.distillation import DistillOptions, Student
from lar.errors import OptionError
from lar.models.compatibility import shards_exactly
from testing import tiny
from testing.training_runs import FEW, SHARDINGS, Runs

needs_sharding = pytest.mark.skipif(not shards_exactly(), reason="sharding needs torch 2.10 or newer")
pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="needs torch with gloo, which connects processes on CPUs",
)


def launch(module, folder, processes):
    """Run `module` in several processes, as a launcher does; returns their exit codes and their output."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []
    for rank in range(processes):
        environment = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", module, folder],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        printed = [process.communicate(timeout=3600) for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], [out + err for out, err in printed]


@pytest.fixture(scope="module")
def folder(corpus, vocabulary, tmp_path_factory):
    at = tmp_path_factory.mktemp("processes")
    # With padding rows, whose number makes the processes' parts uneven.
    model = tiny.padded(tiny.model(vocabulary.base_size), vocabulary.base_size + 20)
    model.save_pretrained(at / "model")
    tiny.model(100).save_pretrained(at / "narrow")
    (at / "corpus").symlink_to(corpus.path)
    vocabulary.save(at / "vocabulary")
    distill(corpus, str(at / "model"), vocabulary, DistillOptions(**{**FEW, "max_steps": 2}), at / "earlier")
    return at


@pytest.fixture(scope="module")
def alone(folder):
    with tiny.one_thread():
        return Runs(folder).all("none")


@pytest.fixture(scope="module")
def printed(folder):
    codes, printed = launch("testing.training_runs", folder, 2)
    assert (folder / "found-True.pt").exists(), printed
    assert codes == [2, 2], printed  # the module's last line is a mistake
    return "".join(printed)


@pytest.fixture(scope="module")
def together(folder, printed):  # noqa: ARG001
    return [torch.load(folder / f"found-{main}.pt", weights_only=False) for main in (True, False)]


def losses(run, name="loss"):
    return [line[name] for line in run["log"] if name in line]


@pytest.mark.slow
@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize(
    "run",
    ["whole_run", "killed_run", "ended_run", "accumulating_run", "started_run", "stopped_run", "adapted"],
)
def test_two_processes_learn_what_one_does(alone, together, sharding, run):
    expected = alone[run]
    for of_process in together:
        found = of_process[sharding][run]
        for name in ("loss", "grad_norm", "teacher_term", "unit_term", "base_tokens", "learning_rate"):
            assert losses(found, name) == pytest.approx(losses(expected, name), rel=1e-5, abs=1e-6), name
        assert found["learnt"].keys() == expected["learnt"].keys()
        for name, value in expected["learnt"].items():
            assert torch.allclose(found["learnt"][name], value, rtol=1e-5, atol=1e-5), name
    lines = {"adapted": 0, "killed_run": 4, "ended_run": 4, "whole_run": 4}
    assert len(losses(expected)) == lines.get(run, 2)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("run", ["killed_run", "ended_run"])
def test_a_stopped_run_of_two_goes_on_to_the_same_student(together, sharding, run):
    runs = together[0][sharding]
    assert losses(runs[run]) == losses(runs["whole_run"])
    for name, value in runs["whole_run"]["learnt"].items():
        assert torch.equal(runs[run]["learnt"][name], value), name


@needs_sharding
@pytest.mark.slow
def test_a_sharded_model_can_be_looked_at_between_steps(alone, together):
    expected = alone["accumulating_run"]["looked"]
    assert len(expected) >= 2
    for of_process in together:
        assert of_process["full"]["accumulating_run"]["looked"] == pytest.approx(expected, rel=1e-4)


@needs_sharding
@pytest.mark.slow
def test_each_process_holds_its_part_of_a_sharded_model(alone, together):
    whole = alone["accumulating_run"]["held"][0]
    parts = [of_process["full"]["accumulating_run"]["held"][0] for of_process in together]
    assert sum(parts) == whole
    assert max(parts) < 0.55 * whole
    assert together[0]["none"]["accumulating_run"]["held"][0] == whole


@pytest.mark.slow
@pytest.mark.parametrize("sharding", SHARDINGS)
def test_frozen_weights_may_be_bfloat16(alone, together, sharding):
    found = losses(together[0][sharding]["bfloat16_run"])
    assert found == pytest.approx(losses(alone["bfloat16_run"]), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", SHARDINGS)
def test_the_main_process_saves_one_student(folder, together, sharding):
    saved = Student.load(folder / "of-2" / f"whole-{sharding}", str(folder / "model"))
    for name, value in together[0][sharding]["whole_run"]["learnt"].items():
        assert torch.equal(saved.learnt()[name], value), name
    assert saved.record["options"]["sharding"] == sharding
    left = {path.name for path in (folder / "of-2").iterdir()}
    assert left == {f"{run}-{kind}" for run in ("whole", "killed", "ended") for kind in SHARDINGS}


@pytest.mark.slow
def test_a_mistake_of_all_is_one_line(folder, printed):
    lines = [line for line in printed.splitlines() if "lar: error" in line]
    assert len(lines) == 1, printed
    assert "embedding rows" in lines[0]
    assert not (folder / "out").exists()


def test_sharding_with_a_torch_that_shards_otherwise_is_refused(corpus, vocabulary, folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("lar.distillation.training.distributed.shards_exactly", lambda: False)
    with pytest.raises(OptionError, match=r"torch 2\.10"):
        distill(corpus, str(folder / "model"), vocabulary, DistillOptions(**FEW, sharding="full"))


@needs_sharding
def test_sharding_alone_or_of_an_object_is_refused(corpus, vocabulary, folder, monkeypatch):
    options = DistillOptions(**FEW, sharding="full")
    with pytest.raises(OptionError, match="several processes"):
        distill(corpus, str(folder / "model"), vocabulary, options)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="model folder"):
        distill(corpus, tiny.model(vocabulary.base_size), vocabulary, options)
    with pytest.raises(OptionError, match="one device"):
        distill(corpus, "anywhere", vocabulary, DistillOptions(device="cuda:0"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(OptionError, match="sharding"):
        distill(corpus, "anywhere", vocabulary, DistillOptions())
