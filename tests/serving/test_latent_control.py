"""When latents may be written: the follower agrees with a definition on the whole conversation."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import EngineError, OptionError
from lar.serving.latent_control import MODES, RECORD_FILE, LatentControl
from lar.serving.transformers import LatentsProcessor

HEADER = (7, 3, 3)
CONTROL = LatentControl(first=10, count=4, agent_header=HEADER)
IDS = st.lists(st.sampled_from([0, 3, 5, 7, 11]), max_size=40)


def in_agents_turn(ids):
    """Whether the last opening in `ids` is the agent's, read from the end."""
    for start in reversed(range(len(ids))):
        if ids[start] == HEADER[0]:
            return tuple(ids[start : start + len(HEADER)]) == HEADER
    return False


@given(IDS, st.integers(0, 40))
def test_latents_stay_in_the_agents_turns(ids, cut):
    follower = CONTROL.follow("agent")
    follower.push(ids[:cut])
    follower.push(ids[cut:])
    assert follower.allowed == in_agents_turn(ids)


@given(IDS)
def test_always_and_never_do_not_depend_on_what_was_said(ids):
    for mode, expected in (("allow", True), ("forbid", False)):
        follower = CONTROL.follow(mode)
        follower.push(ids)
        assert follower.allowed is expected


@pytest.mark.parametrize("mode", MODES)
@given(rows=st.lists(st.lists(st.sampled_from([0, 3, 7]), min_size=6, max_size=6), min_size=1, max_size=3))
def test_the_processor_masks_latents_and_nothing_else(mode, rows):
    processor = LatentsProcessor(CONTROL, mode)
    ids = torch.tensor(rows)
    scores = torch.arange(len(rows) * 16.0).view(len(rows), 16)
    for length in (2, 3, 6, 4):  # the last: shorter again, as in assisted generation
        got = processor(ids[:, :length], scores)
        for row, units in enumerate(ids[:, :length].tolist()):
            follower = CONTROL.follow(mode)
            follower.push(units)
            hidden = torch.isinf(got[row])
            assert hidden[10:14].all() == hidden.any() == (not follower.allowed)
            assert torch.equal(got[row][~hidden], scores[row][~hidden])


def test_what_an_export_says_is_read(tmp_path):
    record = {"first_latent": 10, "latents": 4, "agent_header": list(HEADER)}
    (tmp_path / RECORD_FILE).write_text(json.dumps(record))
    assert LatentControl.of_export(tmp_path) == CONTROL


def test_bad_input_has_one_line(tmp_path):
    with pytest.raises(EngineError, match="not an export"):
        LatentControl.of_export(tmp_path)
    (tmp_path / RECORD_FILE).write_text('{"latents": 4}')
    with pytest.raises(EngineError, match="first_latent"):
        LatentControl.of_export(tmp_path)
    with pytest.raises(OptionError, match="allow, agent, forbid"):
        CONTROL.follow("sometimes")
    with pytest.raises(OptionError, match="has no token that opens them"):
        LatentControl(10, 4).follow("agent")
