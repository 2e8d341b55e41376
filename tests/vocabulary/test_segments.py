"""Flat segments are equivalent to a list of lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments

LISTS = st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=5), max_size=8)


@given(lists=LISTS)
def test_segments_are_the_lists_that_they_were_made_of(lists):
    segments = Segments.of(lists)
    assert segments.tokens.dtype == np.uint32
    assert segments.offsets.dtype == np.int64
    assert segments.to_lists() == lists
    assert [segment.tolist() for segment in segments] == lists
    assert [segments[index].tolist() for index in range(-len(lists), len(lists))] == lists * 2
    assert segments.lengths.tolist() == [len(listed) for listed in lists]
    assert len(segments) == len(lists)
    for beyond in (len(lists), -len(lists) - 1):
        with pytest.raises(IndexError):
            segments[beyond]


def test_a_latent_saves_all_but_one_unit_of_each_use():
    assert Latent(id=9, tokens=(1, 2, 3), text="abc", count=7, support=2, uses=5).saving == 10
