"""The bench of zip2zip: units are counted by where they begin, for hypertokens that a brute force expands."""

from argparse import ArgumentTypeError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.mining.zip2zip import Saved, by_zip2zip, limits_of, starts


@given(st.lists(st.integers(1, 9), max_size=20))
def test_a_unit_begins_where_those_before_it_end(sizes):
    assert starts(sizes).tolist() == [sum(sizes[:unit]) for unit in range(len(sizes))]


def test_a_setting_names_both_limits():
    assert limits_of("1024x4") == (1024, 4)
    for wrong in ("1024", "0x4", "x4", "1024x"):
        with pytest.raises((ValueError, ArgumentTypeError)):
            limits_of(wrong)


def test_hypertokens_are_counted_in_the_turn_in_which_they_begin(corpus):
    package = pytest.importorskip("zip2zip_compression", reason="pip install zip2zip-compression==0.3.4")
    special = sorted(corpus.tokenizer.barriers)
    compressor = package.LZWCompressor(corpus.tokenizer.base_size, 1024, 4, special[0], special)
    expected = Saved()
    for row in corpus:
        units, _, hypertokens = compressor.encode(row.tokens.tolist(), False, False, None)
        at = 0
        for unit in units:
            parts = hypertokens.to_dict().get(unit, [unit])
            assert parts == row.tokens[at : at + len(parts)].tolist()
            assert len(parts) == 1 or not set(parts) & set(special)
            expected.action_units += bool(row.action[at])
            at += len(parts)
        expected.units += len(units)
        expected.tokens += len(row.tokens)
        expected.action_tokens += int(np.sum(row.action))
    found = by_zip2zip(corpus, 1024, 4)
    assert found == expected
    assert found.units < found.tokens
    assert by_zip2zip(corpus, 1, 4).units > found.units
