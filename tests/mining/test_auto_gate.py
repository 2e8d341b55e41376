"""The entropy gate that mining takes by itself: none, unless a turn would have too few units."""

import pytest

import lar
from lar.errors import CorpusError, OptionError
from lar.mining.auto_gate import gated_where_needed
from lar.mining.mine import mine
from lar.vocabulary.turn_lengths import FEW_UNITS, units_a_turn


@pytest.mark.parametrize("size", [1, 4, 12, 30, 60, None])
def test_a_gate_is_taken_where_a_turn_would_have_too_few_units(corpus, size):
    ungated, gated = (mine(corpus, size, max_entropy=gate) for gate in (None, "p75"))
    found = mine(corpus, size)
    if units_a_turn(ungated) >= FEW_UNITS:
        assert found == ungated
        return
    length = found.mining.pop("ungated_turn_units")
    assert length == pytest.approx(units_a_turn(ungated), abs=1e-4)
    assert found == gated
    assert units_a_turn(found) > length


def test_both_cases_occur(corpus):
    gates = {size: mine(corpus, size).mining["max_entropy"] for size in (1, 60)}
    assert gates == {1: None, 60: "p75"}


def test_units_a_turn_are_those_of_an_evaluation(corpus):
    vocabulary = mine(corpus, 12)
    total = lar.evaluate(corpus, vocabulary).total
    assert units_a_turn(vocabulary) == total.units / total.turns


@pytest.mark.parametrize("gate", [None, "p60", 0.5])
def test_an_update_keeps_the_gate_of_the_vocabulary_before(corpus, gate):
    before = mine(corpus, 60, max_entropy=gate)
    assert mine(corpus, update=before).mining["max_entropy"] == gate


@pytest.mark.parametrize("error", [CorpusError("too small"), OptionError("too large")])
def test_logs_that_cannot_be_gated_are_mined_without(corpus, caplog, error):
    ungated = mine(corpus, 60, max_entropy=None)

    def mined(gate):
        if gate is not None:
            raise error
        return ungated

    assert gated_where_needed(mined) == ungated
    length = units_a_turn(ungated)
    assert caplog.messages == [f"no entropy gate, though a turn has only {length:.1f} units: {error}"]


@pytest.mark.parametrize("size", [2, 60])
def test_an_estimate_takes_the_same_gate(corpus, size):
    found = lar.estimate(corpus, sizes=[size], splits=2)
    assert found.recommended.gate == mine(corpus, size).mining["max_entropy"]
    [ungated] = lar.estimate(corpus, sizes=[size], splits=2, entropy_gates=[None], probes=False).points
    if found.recommended.gate is None:
        assert found.ungated is None
        assert (found.points, found.gated.gate) == ((ungated,), "p75")
    else:
        [gated] = lar.estimate(corpus, sizes=[size], splits=2, entropy_gates=["p75"], probes=False).points
        assert (found.ungated, found.points, found.gated) == (ungated, (gated,), None)


def test_auto_is_not_compared_with_gates(corpus):
    with pytest.raises(OptionError, match="the gate auto stands alone"):
        lar.estimate(corpus, sizes=[4], entropy_gates=["auto", "p60"])
