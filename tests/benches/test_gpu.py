"""The benches for a GPU machine without a network: pieces in miniature, loads, and time limits."""

import json
import shutil
import tomllib
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

pytest.importorskip("torch", reason="the benches need the extra `train`")
pytest.importorskip("peft", reason="the benches need the extra `train`")


import lar
from benches.gpu import agents_piece, miniature, pack, pretrained_piece, run, store, throughput_piece, weights
from benches.gpu.clock import Clock, Pace, TimeUpError, ended_at_limit
from benches.gpu.curves import is_flat
from benches.gpu.manifest import PIECES, Joined, Manifest, Packed, sha256
from benches.gpu.record import Record
from benches.training import pretrained, throughput
from benches.training.training_arms import ARMS, CONTROL, STUDENT, Bench, Steps
from lar.distillation.rows.start import STARTS, TRAINING
from lar.errors import OptionError
from testing import tiny

# The Trainer of some versions calls a model's method by its old name.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
LOG = "tau_bench"
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


class UpAfter(Clock):
    """A clock whose time is up after `asked` readings."""

    def __init__(self, asked: int) -> None:
        super().__init__(minutes=5)
        self.asked = asked

    @property
    def left(self) -> float:
        self.asked -= 1
        return super().left if self.asked > 0 else -1.0


@pytest.mark.slow
def test_throughput_in_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "product_rate", lambda *_: 1e9)
    assert run.main(["throughput-qwen3", "--rehearse", "--minutes", "600", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "throughput-qwen3.json").read_text())
    assert record["ended"]
    assert record["errors"] == {}
    assert record["cut"] == []
    assert {"name"} <= set(record["device"])
    assert {"torch", "transformers", "peft", "lar"} <= set(record["versions"])
    figures = record["figures"]
    assert set(figures["distill"]) == set(ARMS)
    assert figures["training rounds"] == 1
    assert set(figures["rows"]["arms"]) == {"frozen", "split", "peft"}
    assert figures["score"]["share_of_matmul"] > 0
    out = capsys.readouterr().out
    assert "rows, peft" in out
    assert out.splitlines()[-1].startswith("throughput-qwen3: ")


@pytest.mark.slow
def test_a_piece_that_time_cuts_keeps_what_it_has_and_goes_on(tmp_path):
    miniature.make(tmp_path / "store")
    scale = replace(miniature.PRETRAINED, windows=2)

    def measured(clock):
        record = Record(tmp_path / "record.json", f"pretrained-{LOG}", {}, clock, "abc")
        pretrained_piece.measure(tmp_path / "store", LOG, scale, record)
        return json.loads((tmp_path / "record.json").read_text())

    # The clock is read at each step and preparation and before each arm, so time is up in the first student.
    first = measured(UpAfter(40))
    assert first["errors"] == {}
    assert any("cut at" in line or "not begun" in line for line in first["cut"])
    second = measured(Clock(600))  # enough on a slow machine
    assert second["errors"] == {}
    assert second["cut"] == []
    arms = second["figures"]["arms"]
    assert len(arms) == len(pretrained_piece.planned(scale.sizes))
    for name, arm in arms.items():
        assert arm["steps"] == arm["planned_steps"]
        assert len(arm["curve"]) == scale.evaluations
        assert (arm["reduction"] > 0) == ("student" in name)


@pytest.mark.slow
def test_agents_in_miniature_go_on_where_time_cut_them(tmp_path):
    pytest.importorskip("bm25s", reason="pip install bm25s")
    miniature.make(tmp_path / "store")

    def measured(clock):
        record = Record(tmp_path / "record.json", "agents-search_qa", {}, clock, "abc")
        agents_piece.measure(tmp_path / "store", "search_qa", miniature.AGENTS, record)
        return json.loads((tmp_path / "record.json").read_text())

    first = measured(UpAfter(20))
    assert first["errors"] == {}
    assert any("cut at" in line or "not begun" in line for line in first["cut"])
    second = measured(Clock(600))
    assert (second["errors"], second["cut"]) == ({}, [])
    of_splits = second["figures"]["arms"]
    assert set(of_splits) == set(miniature.AGENTS.splits)
    assert not of_splits["test"]["react"]["solved"].keys() & of_splits["unseen"]["react"]["solved"].keys()
    arms = of_splits["unseen"]
    assert set(arms) == set(miniature.AGENTS.arms)
    assert {len(arm["solved"]) for arm in arms.values()} == {miniature.AGENTS.tasks}
    assert arms["lar-256"]["bits_per_byte"]["units"] < arms["react"]["bits_per_byte"]["units"]


@pytest.mark.slow
def test_no_stage_sees_the_held_out_tasks(tmp_path, monkeypatch):
    miniature.make(tmp_path)
    seen: dict[str, set[str]] = {"adapt": set(), "validate": set(), "mine": set(), "distill": set()}

    def watched(name, original):
        def call(corpus, *arguments, **keywords):
            seen[name] |= corpus.tasks
            if name == "adapt" and keywords.get("held_out"):
                seen["validate"] |= keywords["held_out"].tasks
            return original(corpus, *arguments, **keywords)

        monkeypatch.setattr(lar, name, call)

    for name in ("adapt", "mine", "distill"):
        watched(name, getattr(lar, name))
    scale = replace(miniature.PRETRAINED, windows=2, adapt_steps=2, evaluations=1)
    record = Record(tmp_path / "record.json", "piece", {}, Clock(5), "abc")
    pretrained_piece.measure(tmp_path, LOG, scale, record)
    assert record.errors == {}
    _, held_out = lar.Corpus.load(tmp_path / LOG).split(pretrained.HELD_OUT)
    assert held_out.tasks
    assert all(tasks and not tasks & held_out.tasks for tasks in seen.values())


def test_progress_stops_a_training_when_time_is_up():
    pace = Pace(UpAfter(4))
    pace(1, None)
    pace(1, 3)
    pace(2, 3)
    with pytest.raises(TimeUpError):
        pace(2, 3)
    last = Pace(UpAfter(0))
    last(3, 3)  # the last step is kept
    assert (last.done, last.total) == (3, 3)


def test_the_start_of_rows_is_no_step_of_a_training():
    pace = Pace(Clock(5))
    pace.note(STARTS[1])
    for done in (1, 2, 3):
        pace(done, 3)
    assert (pace.done, pace.ended) == (0, [])
    pace.note(TRAINING)
    pace(1, 2)
    pace(2, 2)
    assert (pace.done, len(pace.ended)) == (2, 2)
    assert 0 < pace.start_seconds <= pace.before
    late = Pace(UpAfter(0))
    late.note(STARTS[0])
    with pytest.raises(TimeUpError):
        late(3, 3)


def test_an_arm_that_fails_leaves_the_others_their_figures(tmp_path, monkeypatch):
    def run_of(_, arm):
        if arm == CONTROL:
            raise ValueError("out of memory")
        return Steps(ended=[0.0, 1.0], tokens=[1, 2], memory=3)

    monkeypatch.setattr(Bench, "run", run_of)
    monkeypatch.setattr(throughput_piece, "keep_teacher", lambda *_: None)
    setting = Namespace(model=Namespace(device="cpu"), trained=None, vocabulary=None)
    options = throughput_piece._options(tmp_path, "tiny", replace(miniature.THROUGHPUT, rounds=2))
    record = Record(tmp_path / "record.json", "piece", {}, Clock(5), "abc")
    throughput_piece._train(setting, options, record)
    assert list(record.errors) == [f"round 0, {CONTROL}"]
    assert record.cut == []
    assert set(record.figures["distill"]) == set(ARMS) - {CONTROL}
    assert record.figures["training rounds"] == 2
    assert record.figures["distill"][STUDENT]["rate_ratio"] == 1


def test_a_piece_that_does_not_look_at_its_clock_is_ended(monkeypatch):
    ended, last = Event(), []
    monkeypatch.setattr("os._exit", lambda code: (last.append(code), ended.set()))
    with ended_at_limit(Clock(0.001), lambda: last.append("table")):
        assert ended.wait(30)
    assert last == ["table", 3]
    with ended_at_limit(Clock(5), lambda: last.append("never")):
        pass
    assert last == ["table", 3]


def test_fewer_arms_rather_than_too_few_steps():
    speed = {"before": 10.0, "step": 0.1, "evaluation": 1.0}
    scale = replace(miniature.PRETRAINED, evaluations=5, least_steps=300, most_steps=2000)
    of_five = pretrained_piece.steps_within(110 * 5.0, 5, speed, scale)
    assert of_five == pytest.approx((100 - 15) / 0.1, abs=1)
    # An arm of 300 steps takes 30 + 15 seconds, so two of them fit into 100.
    assert 300 <= pretrained_piece.steps_within(110.0, 5, speed, scale) < 360
    assert pretrained_piece.steps_within(5.0, 5, speed, scale) == 2
    assert pretrained_piece.steps_within(1e6, 5, speed, scale) == 2000


def test_a_curve_is_flat_when_its_end_gains_next_to_nothing():
    course = [{"step": at, pretrained.BITS: bits} for at, bits in enumerate([2.0, 1.2, 1.01, 1.005])]
    assert is_flat(course)
    assert not is_flat([*course[:2], {pretrained.BITS: 1.1}, {pretrained.BITS: 1.0}])
    assert is_flat(course[:3]) is None


def packed(folder, loads, files, pieces=PIECES, joined=None):
    """Load folders with these files (load, name, kind) and the manifest in each."""
    manifest = Manifest("abc", joined=joined)
    for number, name, kind in files:
        load = folder / f"load-{number:02d}"
        load.mkdir(parents=True, exist_ok=True)
        file = (folder / name).rename(load / name)
        manifest.files.append(Packed(name, kind, load.name, file.stat().st_size, sha256(file), list(pieces)))
    for number in range(loads):
        manifest.write(folder / f"load-{number:02d}")
    return [folder / f"load-{number:02d}" for number in range(loads)]


def test_what_is_packed_comes_back_from_its_loads(tmp_path, teacher_folder, corpus):
    source = tmp_path / "pack"
    shutil.copytree(corpus.path, source / LOG)
    weights.write_companions(teacher_folder, source / "tokenizer")
    whole = Path(shutil.copy(teacher_folder / "model.safetensors", source))
    joined = Joined(whole.name, whole.stat().st_size, sha256(whole))
    parts = list(pack.split(whole, 150_000))
    assert len(parts) > 1
    assert sum(part.stat().st_size for part in parts) == joined.size
    files = [(0, pack.packed_folder(source / name).name, "archive") for name in (LOG, "tokenizer")]
    # The last part is in the first load.
    files += [((number + 1) % len(parts), part.name, "part") for number, part in enumerate(parts)]
    loads = packed(source, len(parts), sorted(files), joined=joined)
    kept = tmp_path / "store"
    for load in loads[:-1]:
        store.keep(load, kept)
    assert store.missing(kept, PIECES[0]) == [parts[-2].name]
    store.main([str(loads[-1]), str(loads[0]), "--store", str(kept)])  # once more does no harm
    assert store.missing(kept, PIECES[0]) == []
    assert lar.Corpus.load(kept / LOG).tasks == corpus.tasks
    there = {"model.safetensors", "config.json", "tokenizer.json"}
    assert there <= {file.name for file in (kept / "model").iterdir()}
    assert sha256(kept / "model" / "model.safetensors") == joined.sha256
    assert not (kept / "parts").exists()


def test_damaged_files_and_other_packs_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(name.encode() * 100)
    (first,), (second,) = (packed(tmp_path / name, 1, [(0, "part", "part")]) for name in ("a", "b"))
    store.keep(first, tmp_path / "store")
    with pytest.raises(SystemExit, match="another pack"):
        store.keep(second, tmp_path / "store")
    (first / "part").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="SHA-256"):
        store.keep(first, tmp_path / "store")
    with pytest.raises(SystemExit, match=r"no manifest\.json"):
        store.keep(tmp_path, tmp_path / "store")


def test_only_an_earlier_pack_is_replaced(tmp_path, corpus, monkeypatch):
    other = Path(shutil.copytree(corpus.path, tmp_path / "corpus"))  # with a manifest.json of its own
    for folder, match in ((other, "no pack"), (tmp_path, "already contains something else")):
        monkeypatch.setattr("sys.argv", ["pack.py", "--shared", str(tmp_path), "-o", str(folder)])
        with pytest.raises(OptionError, match=match):
            pack.main()
    assert lar.Corpus.load(other).tasks == corpus.tasks
    with pytest.raises(SystemExit, match="not the manifest of a pack"):
        Manifest.read(other)
    (tmp_path / "part").write_bytes(b"weights")
    (load,) = packed(tmp_path, 1, [(0, "part", "part")])
    earlier = tmp_path / "pack"
    earlier.mkdir()
    load.rename(earlier / load.name)
    Manifest.read(earlier / load.name).write(earlier)
    new = tmp_path / "wheel"

    def files(options, folder, manifest):  # noqa: ARG001
        new.write_bytes(b"new")
        yield new.rename(folder / new.name), "wheel", PIECES, None

    monkeypatch.setattr(pack, "_files", files)
    monkeypatch.setattr("sys.argv", ["pack.py", "--shared", str(tmp_path), "-o", str(earlier)])
    pack.main()
    assert [one.name for one in Manifest.read(earlier).files] == ["wheel"]
    assert not (earlier / "load-00" / "part").exists()


def test_a_piece_names_what_the_store_lacks(tmp_path, capsys):
    (tmp_path / "part").write_bytes(b"weights")
    (load,) = packed(tmp_path, 1, [(0, "part", "part")], pieces=[f"pretrained-{LOG}"])
    where = ["--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    (tmp_path / "store").mkdir()
    shutil.copy(load / "manifest.json", tmp_path / "store")
    assert run.main([f"pretrained-{LOG}", *where]) == 2
    assert "lacks part" in capsys.readouterr().err
    store.keep(load, tmp_path / "store")
    assert run.main([f"pretrained-{LOG}", *where]) == 2
    assert "lacks the joined model" in capsys.readouterr().err
    assert run.main(["throughput-llama", *where]) == 2
    assert "this pack has none" in capsys.readouterr().err


def test_every_package_that_lar_needs_travels():
    needed = {requirement.partition(">")[0] for requirement in PROJECT["dependencies"]}
    assert needed - set(pack.SPARE) == {"numpy", "tokenizers"}  # those come with torch and transformers


def test_a_file_goes_into_the_first_load_with_room(tmp_path):
    found = []
    for number, size in enumerate([30, 20, 20, 60, 5]):
        file = tmp_path / str(number)
        file.write_bytes(b"x" * size)
        found.append((file, "part", PIECES, None))
    loads = [[file.name for file, *_ in load] for load in pack.grouped(found, limit=60)]
    assert loads == [["0", "1", "4"], ["2"], ["3"]]


def test_a_gguf_travels_with_one_matrix_for_embedding_and_head(tmp_path, vocabulary):
    gguf = pytest.importorskip("gguf", reason="needs the package gguf")
    model = tiny.model(vocabulary.base_size)
    untied = {"token_embd.weight": model.model.embed_tokens.weight, "output.weight": model.lm_head.weight}
    writer = gguf.GGUFWriter(tmp_path / "whole.gguf", "llama")
    writer.add_string("general.name", "toy")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    for name, tensor in untied.items():
        writer.add_tensor(name, tensor.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights.tied(tmp_path / "whole.gguf", tmp_path / "tied.gguf")
    reader = gguf.GGUFReader(tmp_path / "tied.gguf")
    (tensor,) = reader.tensors
    assert tensor.name == "token_embd.weight"
    assert (tensor.data == model.lm_head.weight.detach().numpy()).all()
    assert "tokenizer.ggml.tokens" not in reader.fields
    assert reader.fields["general.name"].contents() == "toy"


def test_the_figures_of_a_failed_stage_are_lost_and_no_others(tmp_path, capsys):
    record = Record(tmp_path / "record.json", "piece", {}, Clock(1), "abc")
    record.figure("first", 1)
    with record.stage("second"):
        raise ValueError("what happened")
    with record.stage("third"):
        raise TimeUpError
    record.figure("fourth", 4)
    found = json.loads((tmp_path / "record.json").read_text())
    assert "what happened" in found["errors"]["second"]
    assert list(found["errors"]) == ["second"]
    assert found["cut"] == ["third: time was up before its first figure"]
    assert {"first", "fourth", "seconds"} == set(found["figures"])
    assert not found["ended"]
    assert "second failed" in capsys.readouterr().out
