"""The benches of mining: what they refuse, and figures that are counted by hand."""

import pytest

import lar
from benches.mining import crossing, new_tools
from lar.errors import CorpusError, OptionError, TokenizerError
from testing import tiny, toy
from testing.chat_templates import LLAMA3
from testing.scores import score_with


def test_crossings_are_counted_of_corpora_that_no_teacher_has_scored(corpus, tmp_path):
    scored = tiny.copy(corpus, tmp_path / "corpus")
    assert crossing.unscored(scored.path).teacher is None
    score_with(scored, lambda shard: [0.0] * len(shard.tokens))
    with pytest.raises(CorpusError, match="scored by a teacher"):
        crossing.unscored(scored.path)


def test_the_share_of_uses_that_cross_is_the_bound_of_mining_or_less(corpus):
    gated = crossing.measure(corpus, corpus, 20, "p60", 0.0)
    assert gated["crossing"] == 0
    assert crossing.measure(corpus, corpus, 20, "p60", 1.0)["crossing"] > 0
    nothing = lar.LatentVocabulary((), corpus.tokenizer, {"max_entropy_nats": 0.0})
    assert crossing.crossing(corpus, nothing) == 0


def test_new_tools_refuses_texts_without_calls_in_one_line():
    assert new_tools.call_text("I look. <tool_call>{}</tool_call>") == "<tool_call>{}</tool_call>"
    tokenizer, runs = toy.tokenizer(), toy.trajectories(12)
    with pytest.raises(OptionError, match="none of the text 'new calls'"):
        new_tools.parts_of(runs, tokenizer, set())
    tokenizer.chat_template = LLAMA3
    with pytest.raises(TokenizerError, match="without <tool_call>"):
        new_tools.parts_of(runs, tokenizer, set())
