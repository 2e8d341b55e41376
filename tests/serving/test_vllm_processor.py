"""The logits processor for vLLM, without vLLM: its base class and its requests are stood in for."""

import importlib
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lar.errors import EngineError, OptionError
from lar.serving.latent_control import LatentControl
from lar.utils.result_files import EXPORT_FILE

NAME = "lar.serving.vllm"
PARENTS = ("vllm", "vllm.v1", "vllm.v1.sample")


def stand_in(monkeypatch, **members):
    """Put a vLLM in place whose module of logits processors has `members`."""
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    for name in PARENTS:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module = ModuleType("vllm.v1.sample.logits_processor")
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def processors(monkeypatch):
    class Adapter:
        def __init__(self, *_):
            pass

    stand_in(monkeypatch, AdapterLogitsProcessor=Adapter)
    yield importlib.import_module(NAME).LatentsPerRequest
    sys.modules.pop(NAME, None)


def processor(processors, folder, header):
    record = {"first_latent": 10, "latents": 4, "agent_header": header}
    (folder / EXPORT_FILE).write_text(json.dumps(record))
    return processors(SimpleNamespace(model_config=SimpleNamespace(model=str(folder))), "cpu", False)


def request(mode):
    return SimpleNamespace(extra_args={"latents": mode})


def test_latents_are_kept_to_the_agents_turns(processors, tmp_path, caplog):
    one = processor(processors, tmp_path, [7, 3]).new_req_logits_processor(request("agent"))
    assert not torch.isinf(one([0, 7, 3], [], torch.zeros(16))).any()
    assert torch.isinf(one([0, 7, 3], [11, 7], torch.zeros(16)))[10:14].all()
    assert caplog.text == ""


@given(
    prompt=st.lists(st.sampled_from([0, 3, 5, 7, 11]), max_size=8),
    written=st.lists(st.sampled_from([0, 3, 5, 7, 11]), max_size=8),
    steps=st.lists(st.integers(1, 3), min_size=8, max_size=8),
)
@example(prompt=[7], written=[3, 0], steps=[1] * 8)  # a header that would be whole if "3" were read twice
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_id_of_a_request_is_read_once(processors, tmp_path, prompt, written, steps):
    control = LatentControl(10, 4, (7, 3, 3))
    one = processor(processors, tmp_path, [7, 3, 3]).new_req_logits_processor(request("agent"))
    length = 0
    for step in (0, *steps):
        length += step
        follower = control.follow("agent")
        follower.push([*prompt, *written[:length]])
        masked = torch.isinf(one(prompt, written[:length], torch.zeros(16)))
        assert masked.tolist() == [10 <= unit < 14 and not follower.allowed for unit in range(16)]


def test_without_a_header_the_agents_turns_have_no_latents_and_the_server_goes_on(
    processors, tmp_path, caplog
):
    made = processor(processors, tmp_path, [])
    assert caplog.text.count("no token that opens the agent's turns") == 1
    processors.validate_params(request("agent"))
    one = made.new_req_logits_processor(request("agent"))
    masked = torch.isinf(one([0, 7, 3], [], torch.zeros(16)))
    assert masked.nonzero().flatten().tolist() == [10, 11, 12, 13]
    assert made.new_req_logits_processor(request("allow")) is None


def test_an_unknown_mode_is_refused_before_the_engine_gets_it(processors):
    with pytest.raises(OptionError, match="allow, agent, forbid"):
        processors.validate_params(request("sometimes"))


def test_a_missing_vllm_and_an_old_one_are_told_apart(monkeypatch):
    def without_vllm(name, *_):
        if name == "vllm":
            raise ModuleNotFoundError("No module named 'vllm'", name=name)

    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=without_vllm), *sys.meta_path])
    with pytest.raises(EngineError, match="vLLM is not installed"):
        importlib.import_module(NAME)
    stand_in(monkeypatch)
    with pytest.raises(EngineError, match=r"version 0\.11 or newer is needed"):
        importlib.import_module(NAME)
