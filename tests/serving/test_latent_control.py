"""When latents may be written: the follower agrees with a definition on the whole conversation."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import EngineError, OptionError
from lar.serving.export.tokenizer_files import turn_ids, write_tokenizer
from lar.serving.latent_control import MODES, LatentControl
from lar.serving.transformers import LatentsProcessor
from lar.tokenizer.chat_template import ChatTemplate
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.result_files import EXPORT_FILE
from testing import toy

HEADER = (7, 3, 3)
OTHERS = frozenset({5})
CONTROL = LatentControl(first=10, count=4, agent_header=HEADER, other_openings=OTHERS)
IDS = st.lists(st.sampled_from([0, 3, 5, 7, 11]), max_size=40)


def in_agents_turn(ids, header, others):
    """Whether the last opening in `ids` is the agent's, read from the end."""
    for start in reversed(range(len(ids))):
        if ids[start] in others:
            return False
        if ids[start] == header[0]:
            return tuple(ids[start : start + len(header)]) == header
    return False


@pytest.mark.parametrize("header", [HEADER, HEADER[:2], HEADER[:1]])
@pytest.mark.parametrize("others", [OTHERS, frozenset()])
@given(ids=IDS, cut=st.integers(0, 40))
def test_latents_stay_in_the_agents_turns(header, others, ids, cut):
    follower = LatentControl(10, 4, header, others).follow("agent")
    follower.push(ids[:cut])
    follower.push(ids[cut:])
    assert follower.allowed == in_agents_turn(ids, header, others)


OWN_OPENINGS = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "header", "others"),
    [
        (OWN_OPENINGS, ["<|assistant|>"], ["<|user|>", "<|system|>", "<|tool|>"]),
        (toy.CHATML, ["<|im_start|>", "assistant"], []),
        # An opening with a token that the agent's turns have too.
        (toy.CHATML.replace("\n{{", "<|end|>{{"), ["<|im_start|>", "assistant"], []),
    ],
)
def test_an_export_records_what_opens_turns_in_the_template_that_is_written(
    template, header, others, tmp_path
):
    known = toy.tokenizer(toy.CHATML if template == OWN_OPENINGS else OWN_OPENINGS)
    backend = known.backend_with(["<|user|>", "<|system|>", "<|tool|>", "<|assistant|>", "<|end|>"])
    Tokenizer(backend, chat_template=known.chat_template).save(tmp_path / "base")
    (tmp_path / "template.jinja").write_text(template)
    first = max(backend.get_vocab().values()) + 1
    write_tokenizer(backend, tmp_path / "base", tmp_path, tmp_path / "template.jinja")
    exported = Tokenizer.load(tmp_path)
    found = turn_ids(exported, first)
    assert backend.decode(found["agent_header"], skip_special_tokens=False) == "".join(header)
    assert found["other_openings"] == sorted(map(backend.token_to_id, others))
    record = {"first_latent": first, "latents": 4, **found}
    (tmp_path / EXPORT_FILE).write_text(json.dumps(record))
    follower = LatentControl.of_export(tmp_path).follow("agent")
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    for roles, is_agents in ((messages, True), ([*messages, messages[0]], False)):
        text = ChatTemplate(template).render(roles)
        follower.push(exported.encode(text[: text.rindex(roles[-1]["content"])]).tolist())
        assert follower.allowed is is_agents


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
    (tmp_path / EXPORT_FILE).write_text(json.dumps(record))
    assert LatentControl.of_export(tmp_path) == replace(CONTROL, other_openings=frozenset())  # older
    (tmp_path / EXPORT_FILE).write_text(json.dumps(record | {"other_openings": [5]}))
    assert LatentControl.of_export(tmp_path) == CONTROL


def test_bad_input_has_one_line(tmp_path):
    with pytest.raises(EngineError, match="not an export"):
        LatentControl.of_export(tmp_path)
    (tmp_path / EXPORT_FILE).write_text('{"latents": 4}')
    with pytest.raises(EngineError, match="first_latent"):
        LatentControl.of_export(tmp_path)
    with pytest.raises(OptionError, match="allow, agent, forbid"):
        CONTROL.follow("sometimes")
    with pytest.raises(OptionError, match="has no token that opens them"):
        LatentControl(10, 4).follow("agent")
