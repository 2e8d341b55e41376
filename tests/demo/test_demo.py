"""The demo: its tokenizer and chat template, its base model's initialization, and all stages in miniature."""

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="the demo needs the extra `train`")
pytest.importorskip("transformers", reason="the demo needs the extra `train`")

import torch

import lar
from lar.cli.demo import _print, command
from lar.cli.report import command as report
from lar.demo.base_model import BaseModelOptions, _batches, new_model
from lar.demo.base_tokenizer import END_OF_TURN, train_tokenizer
from lar.demo.expert import demonstrate, text_of
from lar.demo.online import Arm
from lar.demo.result import DemoResult, useful_latents
from lar.demo.run import DemoOptions, run_demo
from lar.demo.tasks import make_task
from lar.distillation import DistillOptions, Student
from lar.errors import OptionError
from lar.evaluation.canonicity import Canonicity
from lar.tokenizer import render
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Trajectory


@pytest.fixture(scope="module")
def logs() -> list[Trajectory]:
    return [demonstrate(make_task(seed)) for seed in range(60)]


@pytest.fixture(scope="module")
def demo_tokenizer(logs: list[Trajectory]) -> Tokenizer:
    return train_tokenizer(logs)


def test_the_tokenizer_gives_back_every_text(demo_tokenizer: Tokenizer) -> None:
    for seed in range(1000, 1020):
        text = "".join(span.text for span in render(demo_tokenizer, demonstrate(make_task(seed))))
        assert demo_tokenizer.decode(demo_tokenizer.encode(text)) == text


def test_a_lost_ticket_of_many_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    solved = {"base": 1000, "control": 1000, "student": 999}
    arms = {
        name: Arm(
            of / 1000, 2.0, 9.0, 20.0, 1.0, (True,) * of + (False,) * (1000 - of), Counter(), Canonicity()
        )
        for name, of in solved.items()
    }
    _print(DemoResult(Path("demo"), arms, [], {}))
    shown = " ".join(capsys.readouterr().out.split())
    assert "99.9%" in shown
    assert "Success against the control's: -0.1 points" in shown


def test_the_agents_spans_are_what_the_expert_wrote(
    demo_tokenizer: Tokenizer, logs: list[Trajectory]
) -> None:
    for log in logs:
        spans = [span.text for span in render(demo_tokenizer, log) if span.agent]
        written = [text_of(message) for message in log.messages if message["role"] == "assistant"]
        assert spans == [text + END_OF_TURN for text in written]


def test_no_token_crosses_a_word_and_the_size_is_kept(demo_tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokens = [demo_tokenizer.decode([id_]) for id_ in demo_tokenizer.encode("refund the lamp of R123 now")]
    assert [token.strip() for token in tokens if token.strip() in ("refund", "the", "lamp", "of")]
    assert not [token for token in tokens if " " in token.strip()]
    demo_tokenizer.save(tmp_path / "tokenizer")
    again = Tokenizer.load(tmp_path / "tokenizer")
    assert again.fingerprint == demo_tokenizer.fingerprint
    assert again.base_size == demo_tokenizer.backend.get_vocab_size()


@torch.no_grad()
def test_attention_initially_copies() -> None:
    model = new_model(100, BaseModelOptions(width=64, heads=2, feed_forward=64))
    hidden = torch.randn(5, 64)
    for layer in model.model.layers:
        attention = layer.self_attn
        torch.testing.assert_close(attention.o_proj(attention.v_proj(hidden)), hidden, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(attention.q_proj.weight, attention.k_proj.weight)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_an_epoch_has_a_trajectory_at_most_once_and_few_fill_one_batch(
    demo_tokenizer: Tokenizer, logs: list[Trajectory], size: int
) -> None:
    corpus = lar.Corpus.build(logs[:3], demo_tokenizer)
    every = [shard.tokens[a:b].tolist() for shard in corpus.shards() for a, b in pairwise(shard.offsets)]
    batches = _batches(corpus, size, seed=0)
    for _ in range(3):  # epochs
        epoch = [next(batches) for _ in range(max(1, 3 // size))]
        read = [
            row[kept].tolist() for tokens, _, kept in epoch for row, kept in zip(tokens, kept, strict=True)
        ]
        assert len(read) == min(size, 3) * len(epoch)
        assert len({tuple(row) for row in read}) == len(read)
        assert all(row in every for row in read)


SMALL = DemoOptions(
    tasks=4,
    training_tasks=24,
    latents=16,
    min_support=2,
    base_model=BaseModelOptions(steps=6),
    distillation=DistillOptions(max_steps=2, max_length=512, batch_tokens=1024, device="cpu"),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    run_demo(folder, SMALL, lambda name, unit: nullcontext(lambda done, total: None))  # noqa: ARG005
    return folder


@pytest.mark.slow
def test_the_whole_way_leaves_what_the_commands_read(demo: Path) -> None:
    corpus = lar.Corpus.load(demo / "corpus")
    assert corpus.num_trajectories == len(list(lar.read_trajectories(demo / "trajectories.parquet"))) == 24
    assert all(shard.entropy is not None for shard in corpus.shards())
    vocabulary = lar.LatentVocabulary.load(demo / "vocabulary")
    assert vocabulary.size == 16
    for shard in corpus.shards():
        assert np.array_equal(vocabulary.expand(vocabulary.encode(shard.tokens)), shard.tokens)
    student = Student.load(demo / "student", demo / "model", device="cpu")
    assert student.vocabulary.latents == vocabulary.latents
    assert Student.load(demo / "control", demo / "model", device="cpu").vocabulary.size == 0


@pytest.mark.slow
def test_the_last_stage_is_a_report_that_the_command_writes_again(demo: Path) -> None:
    text = (demo / "report.html").read_text()
    assert all(
        f'<h2 id="{name}">' in text for name in ("latents", "savings", "example", "success", "student")
    )
    again = CliRunner().invoke(report, [str(demo), "-o", str(demo / "report.html")], standalone_mode=False)
    assert again.exception is None
    assert (demo / "report.html").read_text() == text


@pytest.mark.slow
def test_the_record_holds_what_the_table_shows(demo: Path) -> None:
    record = json.loads((demo / "demo.json").read_text())
    assert set(record["arms"]) == {"base", "control", "student"}
    assert record["tasks"] == 4
    for name, arm in record["arms"].items():
        assert 0 <= arm["success"] <= 1
        assert arm["units"] <= arm["base_tokens"]
        assert name == "student" or arm["units"] == arm["base_tokens"]
    assert record["options"]["base_model"]["steps"] == 6
    assert record["reduction"] == pytest.approx(
        1 - record["arms"]["student"]["units"] / record["arms"]["base"]["base_tokens"], abs=1e-3
    )


@pytest.mark.slow
def test_a_folder_with_something_in_it_is_left_alone(demo: Path) -> None:
    before = sorted(path.name for path in demo.iterdir())
    with pytest.raises(OptionError, match="there is something already"):
        run_demo(demo, SMALL, lambda name, unit: nullcontext(lambda done, total: None))  # noqa: ARG005
    assert sorted(path.name for path in demo.iterdir()) == before


@pytest.mark.slow
def test_two_tickets_to_learn_and_one_to_solve_are_enough(tmp_path: Path) -> None:
    few = replace(SMALL, tasks=1, training_tasks=2)
    result = run_demo(tmp_path / "out", few, lambda name, unit: nullcontext(lambda done, total: None))  # noqa: ARG005
    assert all(len(arm.solved) == 1 for arm in result.arms.values())
    assert lar.LatentVocabulary.load(tmp_path / "out" / "vocabulary").size > 0


@pytest.mark.parametrize("wrong", [{"tasks": 0}, {"training_tasks": 0}, {"seed": -1}, {"seed": 2**32}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        DemoOptions(**wrong)


def test_fewer_tickets_to_learn_than_a_latent_must_occur_in_are_refused() -> None:
    with pytest.raises(OptionError, match=r"no latent can occur in 2 tasks .* since there is 1 "):
        replace(SMALL, training_tasks=1)


@pytest.mark.slow
def test_the_most_useful_latents_are_those_that_saved_most(demo: Path) -> None:
    vocabulary = lar.LatentVocabulary.load(demo / "vocabulary")
    rare, often = vocabulary.latents[0], vocabulary.latents[1]
    found = useful_latents(vocabulary, {rare.id: 1, often.id: 1000})
    assert [latent.text for latent in found] == [often.text, rare.text]
    assert found[0].saving == 1000 * (len(often.tokens) - 1)


def test_help_has_an_example() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    assert "Examples:" in text
    assert "lar demo -o" in text
