"""A cluster of two nodes gives the results of one machine, byte for byte, even if a worker is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from lar.cli import main
from lar.corpus import Corpus
from lar.corpus.scores import scores_file
from lar.errors import ClusterError, CorpusError, OptionError, TokenizerError
from lar.evaluation.reduction import evaluate
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.scoring.distribution import EntropyDistribution
from lar.trajectories import write_trajectories
from lar.utils.extras import install_command
from lar.utils.result_files import VOCABULARY_FILE
from testing import tiny, toy
from testing.conversations import agent, user
from testing.corpora import CHATML, contents, make_trajectories
from testing.lossy_templates import LOSSY
from testing.scores import score_with

ray = pytest.importorskip("ray", reason="needs Ray (pip install '.[ray]')")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs Ray with its test utilities")


@pytest.fixture(scope="module")
def address():
    """Two nodes of one core each."""
    small = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = cluster_utils.Cluster(True, head_node_args={**small, "include_dashboard": False})
    cluster.add_node(**small)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def cluster(address):
    from lar.cluster import connect

    with connect(address) as connected:
        yield connected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The toy agent's runs, its tokenizer and a teacher."""
    folder = tmp_path_factory.mktemp("cluster")
    toy.tokenizer().save(folder / "model")
    write_trajectories(toy.trajectories(60), folder / "logs.jsonl")
    tiny.model(toy.tokenizer().base_size).save_pretrained(folder / "teacher")
    return folder


@pytest.fixture(scope="module")
def sharded(folder):
    """A corpus of many shards."""
    return Corpus.build(toy.trajectories(60), folder / "model", folder / "sharded", shard_tokens=700)


@pytest.fixture(scope="module")
def scored(folder):
    """The same corpus with made-up scores: one a token id, so that segments cross a gate always or never."""
    corpus = Corpus.build(toy.trajectories(60), folder / "model", folder / "scored", shard_tokens=700)
    chance = np.random.default_rng(0)
    usual = chance.exponential(size=corpus.manifest.base_size)
    return score_with(
        corpus, lambda shard: usual[shard.tokens] + chance.exponential(0.01, size=len(shard.tokens))
    )


def saved(vocabulary, folder):
    vocabulary.save(folder)
    return (folder / VOCABULARY_FILE).read_bytes()


def same(corpus, cluster, tmp_path, **options):
    """The vocabulary mined on the cluster, after a check that mining here gives the same bytes."""
    here = mine(corpus, **options)
    assert saved(mine(corpus, backend=cluster, **options), tmp_path / "there") == saved(
        here, tmp_path / "here"
    )
    return here


@pytest.mark.parametrize("gate", [None, 0.3, "p70"])
def test_mined_without_a_teacher(sharded, cluster, tmp_path, gate):
    assert len(sharded.manifest.parts) > 8  # more than one merge takes at once
    assert same(sharded, cluster, tmp_path, size=20, max_entropy=gate).size > 5


def test_mined_with_the_entropies_of_a_sample(folder, cluster, tmp_path):
    corpus = Corpus.build(toy.trajectories(60), folder / "model", tmp_path / "corpus", shard_tokens=700)
    score_with(corpus, lambda shard: shard.tokens % 7, share=0.5)
    assert same(corpus, cluster, tmp_path, size=20, max_entropy="p90").size > 3


@pytest.mark.parametrize("gate", [None, 2.5, "p95"])
def test_mined_with_a_teachers_entropies(scored, cluster, tmp_path, gate):
    vocabulary = same(scored, cluster, tmp_path, size=20, max_entropy=gate)
    assert vocabulary.size > 3
    assert any(latent.mean_entropy for latent in vocabulary.latents)


def test_mined_on_a_selection_of_tasks(scored, cluster, tmp_path):
    training, _ = scored.split(0.4)
    assert same(training, cluster, tmp_path, size=10).mining["tasks"] < 60


def test_the_split_of_a_corpus_is_obeyed(scored, cluster, tmp_path):
    corpus = scored.with_split(0.4)
    vocabulary = same(corpus, cluster, tmp_path, size=10, max_entropy="p95")
    training, held_out = scored.split(0.4)
    assert vocabulary.mining == mine(training, size=10, max_entropy="p95").mining
    there = evaluate(corpus, vocabulary, backend=cluster)
    assert there == evaluate(corpus, vocabulary)
    assert there.tasks == held_out.tasks


def test_evaluated_as_on_one_machine(sharded, cluster):
    training, _ = sharded.split(0.4)
    vocabulary = mine(training, size=20)
    here = evaluate(sharded, vocabulary)
    assert not here.in_sample
    reports = []
    for backend in (OneMachine(), cluster):
        assert evaluate(sharded, vocabulary, backend=backend, progress=lambda *r: reports.append(r)) == here
        assert reports[-1] == (here.total.context_base_tokens,) * 2


def test_a_function_of_shards_goes_to_a_process_once(sharded, cluster):
    """A process compiles the parse for one shard, and reuses it for the others."""

    class Counting:  # a local class, so that it is sent by value
        def __init__(self):
            self.shards = 0

        def __call__(self, shard):
            self.shards += len(shard.tokens) > 0
            return self.shards

    counts = list(cluster.map_shards(Counting(), sharded))
    assert len(counts) == len(sharded.manifest.parts)
    assert max(counts) > 1


def test_one_shard_or_many(folder, cluster, sharded, tmp_path):
    whole = Corpus.build(toy.trajectories(60), folder / "model", tmp_path / "whole")
    assert len(whole.manifest.parts) == 1
    assert mine(whole, backend=cluster, size=20).latents == mine(sharded, size=20).latents


def test_prompts_of_runs_that_are_several_rows(cluster, tmp_path):
    """Reasoning that the template drops later makes a row of each question."""
    chats = [
        [
            message
            for at in range(3)
            for message in (user(f"{at} of {run}?"), agent("It is.", reasoning_content="So."))
        ]
        for run in range(20)
    ]
    corpus = Corpus.build(chats, LOSSY["last thought"], tmp_path / "corpus", shard_tokens=2000)
    assert len(corpus) == 3 * corpus.num_trajectories
    assert len(corpus.manifest.parts) > 1
    found = same(corpus, cluster, tmp_path, size=8, prompt_weight=0.5)
    assert 0 < found.mining["prompt_tokens"] < corpus.num_tokens - corpus.num_action_tokens


def test_runs_are_merged_in_the_order_of_one_folder(sharded, cluster):
    here, there = (b.fold(sharded, None, lambda *_: None) for b in (OneMachine(), cluster))
    for array, expected in zip(there.to_arrays(), here.to_arrays(), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_corpus_has_the_same_bytes(cluster, tmp_path):
    build = partial(Corpus.build, make_trajectories(), CHATML, shard_tokens=2000)
    here, there = build(tmp_path / "here"), build(tmp_path / "there", backend=cluster)
    assert contents(there.path) == contents(here.path)


def test_a_corpus_that_was_stopped_is_finished_on_the_cluster(cluster, tmp_path):
    def stopped():
        yield from make_trajectories()[:150]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.build(stopped(), CHATML, tmp_path / "there", shard_tokens=2000, backend=cluster)
    build = partial(Corpus.build, make_trajectories(), CHATML, shard_tokens=2000)
    there = build(tmp_path / "there", backend=cluster)
    assert contents(there.path) == contents(build(tmp_path / "here").path)


def test_a_corpus_is_built_by_workers_or_a_backend(cluster, tmp_path):
    with pytest.raises(OptionError, match="workers"):
        Corpus.build(make_trajectories()[:2], CHATML, tmp_path / "c", workers=2, backend=cluster)
    assert not (tmp_path / "c").exists()


def lar(monkeypatch, *arguments):
    """Run a command in this process, so that it uses the connection to the cluster."""
    monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_scoring_that_was_stopped_is_finished_on_the_cluster(folder, address, tmp_path, monkeypatch):
    from lar.scoring.score import score

    here, there = (
        Corpus.build(toy.trajectories(12), folder / "model", tmp_path / name, shard_tokens=500)
        for name in ("here", "there")
    )

    def stop(done, _):
        if done > 700:  # within the second shard
            raise KeyboardInterrupt

    with tiny.one_thread():
        score(here, str(folder / "teacher"))
        with pytest.raises(KeyboardInterrupt):
            score(there, str(folder / "teacher"), progress=stop)
    scored = [scores_file(shard.path) for shard in there.shards() if shard.entropy is not None]
    assert 0 < len(scored) < len(there.manifest.parts) - 1
    before = [file.stat().st_mtime_ns for file in scored]
    lar(monkeypatch, "score", there.path, "--model", folder / "teacher", "--ray", address)
    assert [file.stat().st_mtime_ns for file in scored] == before
    assert contents(there.path) == contents(here.path)


def test_a_teacher_without_a_folder_is_refused(sharded, cluster):
    from lar.scoring.score import score

    with pytest.raises(OptionError, match="a folder that all nodes can read"):
        score(sharded, object(), backend=cluster)


def test_a_window_longer_than_the_teachers_context_is_refused(sharded, cluster, tmp_path):
    from lar.scoring.score import score

    teacher = tiny.model(sharded.manifest.base_size)
    teacher.config.max_position_embeddings = 16
    teacher.save_pretrained(tmp_path / "teacher")
    with pytest.raises(OptionError, match=r"the model's context is 16 .*: lower max_length to 16"):
        score(sharded, str(tmp_path / "teacher"), max_length=64, backend=cluster)
    assert sharded.teacher is None


def test_a_teacher_that_is_lost_each_time_is_an_error(cluster, folder, tmp_path, monkeypatch):
    """The system ends a process for which a node has too little memory. What it held is free then."""
    from lar.cluster import scoring
    from lar.scoring.score import score

    class LostTeacher:
        def __init__(self, *_):
            pass

        def record(self):
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(scoring, "Teacher", LostTeacher)
    monkeypatch.setenv("RAY_TASK_MAX_RETRIES", "1")
    corpus = Corpus.build(toy.trajectories(4), folder / "model", tmp_path / "corpus")
    with pytest.raises(ClusterError, match="a task failed: Actor") as caught:
        score(corpus, str(folder / "teacher"), backend=cluster)
    monkeypatch.undo()
    assert score(corpus, str(folder / "teacher"), backend=cluster).teacher  # the traceback is kept
    assert caught.traceback


def killing_once(marker, function):
    """`function`, whose first call ends its process as the system would."""

    def killed_once(*arguments, **options):
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return function(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")

    return killed_once


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("step", ["fold_shard", "merge", "apply"])
def test_a_killed_worker_changes_nothing(scored, address, tmp_path, monkeypatch, capsys, step):
    from lar.cluster import mining

    marker = tmp_path / "killed"
    monkeypatch.setattr(mining, step, killing_once(marker, getattr(mining, step)))
    options = ("--size", 20, "--max-entropy", "p95", "-o", tmp_path / "there", "--json", "--ray", address)
    lar(monkeypatch, "mine", scored.path, *options)
    assert marker.exists()
    # Ray's messages about the loss are no part of the result.
    assert json.loads(capsys.readouterr().out)["latents"] > 3
    here = saved(mine(scored, size=20, max_entropy="p95"), tmp_path / "here")
    assert (tmp_path / "there" / VOCABULARY_FILE).read_bytes() == here


def test_a_killed_worker_changes_no_corpus(cluster, tmp_path, monkeypatch):
    from lar.cluster import encoding

    marker = tmp_path / "killed"
    monkeypatch.setattr(encoding, "encode_with", killing_once(marker, encoding.encode_with))
    build = partial(Corpus.build, make_trajectories(), CHATML, shard_tokens=2000)
    there = build(tmp_path / "there", backend=cluster)
    assert marker.exists()
    assert contents(there.path) == contents(build(tmp_path / "here").path)


def test_errors_of_tasks_are_those_of_this_package(folder, cluster, sharded, tmp_path):
    with pytest.raises(TokenizerError):
        Corpus.build(toy.trajectories(3), toy.tokenizer("{{ 1 / 0 }}"), tmp_path / "c", backend=cluster)
    with pytest.raises(CorpusError, match="not scored"):
        EntropyDistribution.of(sharded, cluster)
    broken = Corpus.build(toy.trajectories(20), folder / "model", tmp_path / "broken", shard_tokens=700)
    corpus = Corpus.load(broken.path)
    (broken.path / "part-00001.arrow").write_bytes(b"no shard")
    with pytest.raises(CorpusError, match=r"part-00001\.arrow"):
        mine(corpus, backend=cluster)


@pytest.mark.usefixtures("cluster")
def test_the_command_line_from_logs_to_figures(folder, address, tmp_path, monkeypatch, capsys):
    figures = []
    for name, ray_option in (("here", ()), ("there", ("--ray", address))):
        corpus, output = tmp_path / f"{name}-corpus", tmp_path / f"{name}-vocabulary"
        made_of = (folder / "logs.jsonl", "--tokenizer", folder / "model")
        lar(monkeypatch, "corpus", *made_of, "-o", corpus, *ray_option)
        lar(monkeypatch, "mine", corpus, "--size", 20, "--max-entropy", "p70", "-o", output, *ray_option)
        capsys.readouterr()
        lar(monkeypatch, "evaluate", corpus, output, "--json", *ray_option)
        (measured,) = json.loads(capsys.readouterr().out).pop("per_corpus").values()
        figures.append(measured)
    assert contents(tmp_path / "there-corpus") == contents(tmp_path / "here-corpus")
    assert contents(tmp_path / "there-vocabulary") == contents(tmp_path / "here-vocabulary")
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine", "logs.jsonl", "-o", "v", "--ray"), "needs a corpus folder"),
        (("evaluate", "logs.jsonl", "model", "--ray"), "needs a corpus folder"),
        (("mine", "sharded", "-o", "v", "--memory", "1GiB", "--ray"), "--memory is for one machine"),
        (("corpus", "logs.jsonl", "--tokenizer", "model", "-o", "c", "--workers", "2", "--ray"), "--workers"),
        (("mine", "sharded", "-o", "v", "--ray", "logs.jsonl"), "write --ray last"),
    ],
)
def test_what_does_not_go_together_is_refused(folder, sharded, monkeypatch, capsys, arguments, message):
    assert sharded
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["lar", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert message in line


def mine_in_a_new_process(corpus, output, *options, before="pass"):
    program = f"import sys; {before}; from lar.cli import main; main()"
    command = [sys.executable, "-c", program, "mine", str(corpus.path), "-o", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_ray_one_line_says_what_to_install(sharded, tmp_path):
    result = mine_in_a_new_process(sharded, tmp_path / "v", "--ray", before="sys.modules['ray'] = None")
    assert result.returncode == 2
    assert result.stderr == f"lar: error: a cluster needs Ray: {install_command('ray')}\n"


@pytest.mark.parametrize("wrong", ["nonsense", "127.0.0.1:{port}"])
def test_where_no_cluster_is_one_line_says_so(sharded, tmp_path, wrong):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = mine_in_a_new_process(sharded, tmp_path / "v", "--ray", wrong.format(port=port))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"lar: error: no Ray cluster at {wrong.format(port=port)}: ")


def test_the_local_way_imports_no_ray(sharded, tmp_path):
    watch = "import atexit; atexit.register(lambda: print('ray' in sys.modules))"
    result = mine_in_a_new_process(sharded, tmp_path / "v", "--json", before=watch)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "False"
