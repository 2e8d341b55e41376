"""Generation: streamed text equals the generated text, and batches and caches do not change it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest
import torch

from lar import distill
from lar.distillation import DistillOptions, Student
from lar.errors import OptionError, TrainingError, VocabularyError
from lar.generation.batch import ConversationBatch
from lar.generation.conversation import Conversation
from lar.generation.generate import as_read, generate
from lar.generation.requests import Requests
from lar.generation.sampling import Sampling
from lar.generation.streamer import UnitStreamer
from lar.tokenizer.tokenizer import Tokenizer
from testing import tiny

PROMPTS = [
    f"<|im_start|>user\nHow warm is it in {city}?<|im_end|>\n<|im_start|>assistant\n"
    for city in ("Lima", "Oslo", "Kyoto and in Perth")
]
GREEDY = Sampling(max_units=24, canonical=False)  # for comparison with decoding by hand


@pytest.fixture(scope="module")
def student(corpus, vocabulary):
    options = DistillOptions(
        loss="sft", max_steps=60, max_length=256, learning_rate=3e-3, row_learning_rate=3e-2, device="cpu"
    )
    return distill(corpus, tiny.teacher(corpus), vocabulary, options)


@pytest.fixture(scope="module")
def base(corpus):
    return Student.plain(tiny.teacher(corpus), corpus.tokenizer)


def by_hand(student, units, count, ends=()):
    """Greedy decoding without cache and padding."""
    units = [int(unit) for unit in units]
    written = []
    while len(written) < count and not (written and written[-1] in ends):
        with torch.no_grad():
            written.append(int(student(torch.tensor([units + written])).logits[0, -1].argmax()))
    return written


def end_of_turn(student):
    return student.vocabulary.tokenizer.backend.token_to_id("<|im_end|>")


@pytest.mark.parametrize("arm", ["student", "base"])
def test_a_batch_writes_what_each_prompt_alone_would(arm, request):
    arm = request.getfixturevalue(arm)
    for prompt, got in zip(PROMPTS, generate(arm, PROMPTS, GREEDY), strict=True):
        units = as_read(arm, prompt)
        assert got.units.tolist() == by_hand(arm, units, 24, [end_of_turn(arm)])
        assert (got.base_ids == arm.vocabulary.expand(got.units)).all()
        assert got.text == arm.vocabulary.text(got.units)
        assert got.finish_reason == ("end" if got.units[-1] == end_of_turn(arm) else "length")


def test_a_student_that_has_learnt_writes_latents(student):
    results = generate(student, PROMPTS, GREEDY)
    assert any((got.units >= student.vocabulary.base_size).any() for got in results)
    assert any(got.finish_reason == "end" for got in results)


@pytest.mark.parametrize("arm", ["student", "base"])
def test_text_comes_in_pieces_and_adds_up(arm, request):
    student = request.getfixturevalue(arm)
    pieces = [[] for _ in PROMPTS]
    results = generate(student, PROMPTS, GREEDY, on_text=lambda row, text: pieces[row].append(text))
    assert ["".join(row) for row in pieces] == [got.text for got in results]
    assert arm == "student" or max(map(len, pieces)) > 10  # one latent may be the whole text


def test_a_streamer_serves_transformers_own_generate(student):
    pieces = []
    units = torch.from_numpy(as_read(student, PROMPTS[0]).astype(np.int64))[None]
    out = student.model.generate(
        input_ids=units,
        attention_mask=torch.ones_like(units),
        max_new_tokens=10,
        do_sample=False,
        pad_token_id=0,
        streamer=UnitStreamer(student.vocabulary, pieces.append),
    )
    assert "".join(pieces) == student.vocabulary.text(out[0, units.shape[1] :].numpy().astype(np.uint32))


def test_a_streamer_takes_one_call_after_another(student):
    """Also after a turn that its length ended within a character."""
    units = student.vocabulary.encode_text(PROMPTS[0])
    half = student.vocabulary.tokenizer.encode("é")[0]
    assert student.vocabulary.text([half]) == "\ufffd"
    pieces = []
    streamer = UnitStreamer(student.vocabulary, pieces.append)
    for _ in range(2):
        pieces.clear()
        streamer.put(torch.tensor([units.tolist()]))
        streamer.put(torch.tensor([int(units[0])]))
        streamer.put(torch.tensor([int(half)]))
        streamer.end()
        assert "".join(pieces) == student.vocabulary.text([units[0], half])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("held", [False, True])  # the error comes in `put`, or with held-back text in `end`
def test_a_streamer_starts_anew_after_a_failed_call(student, error, held):
    tokenizer = student.vocabulary.tokenizer
    word, half = tokenizer.encode("a"), tokenizer.encode("é")[:1]
    pieces, fails = [], True

    def on_text(text):
        if fails:
            raise error
        pieces.append(text)

    streamer = UnitStreamer(student.vocabulary, on_text)

    def call(units, *, ends=True):
        streamer.put(torch.tensor([[1, 2, 3]]))
        streamer.put(torch.from_numpy(units.astype(np.int64)))
        if ends:
            streamer.end()

    with pytest.raises(error):
        call(half if held else word)
    fails = False
    call(word, ends=False)
    streamer.reset()  # as after a call that failed outside of `on_text`
    call(word)
    assert pieces == ["a", "a"]


def test_sampling_is_reproducible_and_differs_between_seeds(student):
    runs = [
        [got.units.tolist() for got in generate(student, PROMPTS, Sampling(24, temperature=2.0, seed=seed))]
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_stop_string_cuts_the_text_and_ends_the_row_alone(student):
    free = generate(student, PROMPTS, GREEDY)
    stop = free[0].text[6:9]
    stopped = generate(student, PROMPTS, Sampling(24, stop=(stop,)))
    for before, after in zip(free, stopped, strict=True):
        cut = before.text.find(stop)
        assert after.text == (before.text if cut < 0 else before.text[:cut])
        assert (after.finish_reason == "stop") == (cut >= 0)
    assert stopped[0].finish_reason == "stop"
    assert len(stopped[0].units) <= len(free[0].units)


@pytest.mark.parametrize("arm", ["student", "base"])
def test_a_conversation_equals_fresh_prefills(arm, request):
    arm = request.getfixturevalue(arm)
    conversation = Conversation(arm, Sampling(max_units=12, canonical=False))
    read = []
    handle = arm.base.model.register_forward_pre_hook(
        lambda _, __, inputs: read.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    history = []
    for prompt in (PROMPTS[0], "\n<|im_start|>tool\n21<|im_end|>\n<|im_start|>assistant\n", "\nAnd in Rome?"):
        conversation.append(prompt)
        history += as_read(arm, prompt).tolist()
        got = conversation.reply()
        fed = sum(read)
        handle.remove()
        assert got.units.tolist() == by_hand(arm, history, 12, [end_of_turn(arm)])
        history += got.units.tolist()
        assert conversation.units.tolist() == history
        assert fed == len(history) - 1  # every unit but the last was read, once
        handle = arm.base.model.register_forward_pre_hook(
            lambda _, __, inputs: read.append(inputs["input_ids"].shape[1]), with_kwargs=True
        )
    handle.remove()
    assert (conversation.base_ids == arm.vocabulary.expand(history)).all()


def test_a_turn_ends_where_the_chat_template_ends_it(base):
    """Also if the end of a turn is no end-of-sequence token, of the tokenizer or of the model."""
    known = base.vocabulary.tokenizer
    other = Tokenizer(known.backend, config={}, chat_template=known.chat_template)
    found = generate(Student.plain(base.base, other), PROMPTS, max_units=200)
    assert [one.finish_reason for one in found] == ["end"] * len(PROMPTS)
    assert [one.units.tolist() for one in found] == [
        one.units.tolist() for one in generate(base, PROMPTS, max_units=200)
    ]
    without = Tokenizer(known.backend, config={}, chat_template=None)
    found = generate(Student.plain(base.base, without), PROMPTS, max_units=30)
    assert {one.finish_reason for one in found} == {"length"}


def test_a_reply_needs_a_prompt(student):
    conversation = Conversation(student)
    with pytest.raises(TrainingError, match="nothing was appended"):
        conversation.reply()
    conversation.append(PROMPTS[0])
    whole = conversation.reply(max_units=200)
    assert whole.finish_reason == "end"
    with pytest.raises(TrainingError, match="nothing was appended"):
        conversation.reply()


def test_a_turn_that_a_limit_ended_goes_on(student):
    whole, parts = Conversation(student), Conversation(student)
    for conversation in (whole, parts):
        conversation.append(PROMPTS[0])
    first, second = parts.reply(max_units=2), parts.reply(max_units=4)
    assert first.finish_reason == "length"
    assert [*first.units, *second.units] == whole.reply(max_units=6).units.tolist()


@pytest.mark.parametrize("canonical", [False, True])
@pytest.mark.parametrize("arm", ["student", "base"])
def test_a_turn_in_parts_is_the_whole_turn(arm, canonical, request):
    """Wherever it is cut: the same units under the guard, and the same end by a stop string."""
    arm = request.getfixturevalue(arm)
    whole = Conversation(arm, max_units=24, canonical=canonical)
    whole.append(PROMPTS[0])
    text = whole.reply().text
    for stop in ((), text[7:12], text[7:9]):
        expected = Conversation(arm, max_units=24, canonical=canonical, stop=stop)
        expected.append(PROMPTS[0])
        turn = expected.reply()
        for cut in range(1, len(turn.units)):
            parts, heard = Conversation(arm, canonical=canonical, stop=stop), []
            parts.append(PROMPTS[0])
            first = parts.reply(max_units=cut)
            second = parts.reply(max_units=24 - cut, on_text=heard.append)
            assert [*first.units, *second.units] == turn.units.tolist()
            assert (first.finish_reason, second.finish_reason) == ("length", turn.finish_reason)
            assert "".join(heard) == second.text
            both = first.text + second.text  # perhaps with the beginning of the stop string
            assert both.startswith(turn.text)
            assert both == turn.text or (stop.startswith(both.removeprefix(turn.text)) and not second.text)


def test_a_turn_that_goes_on_may_get_another_stop_string(student):
    whole, parts = Conversation(student, GREEDY), Conversation(student, GREEDY)
    for conversation in (whole, parts):
        conversation.append(PROMPTS[0])
    expected = whole.reply()
    first = parts.reply(max_units=6)
    second = parts.reply(stop=first.text[2:4])
    assert second.finish_reason != "stop"
    assert first.text + second.text == expected.text


@pytest.mark.parametrize("kind", ["one", "batch"])
def test_an_interrupted_reply_leaves_the_conversation_as_it_was(student, monkeypatch, kind):
    def interrupt(*_):
        raise KeyboardInterrupt

    if kind == "one":
        conversation = Conversation(student, GREEDY)
        conversation.append(PROMPTS[0])
        reply = conversation.reply
    else:
        batch = ConversationBatch(student, 1, GREEDY)

        def reply():
            return batch.reply(PROMPTS[:1])[0]

    with monkeypatch.context() as patch:
        patch.setattr(Requests, "_emit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reply()
    assert reply().units.tolist() == generate(student, PROMPTS[:1], GREEDY)[0].units.tolist()


def test_the_models_own_generation_configuration_changes_nothing(student, base):
    for arm in (student, base):
        expected = generate(arm, PROMPTS, GREEDY)
        own = arm.base.generation_config
        own.repetition_penalty, own.no_repeat_ngram_size = 5.0, 1
        try:
            found = generate(arm, PROMPTS, GREEDY)
            assert arm.base.generation_config is own
        finally:
            own.repetition_penalty, own.no_repeat_ngram_size = None, None
        assert [one.text for one in found] == [one.text for one in expected]


def test_the_last_call_of_several_threads_gives_configuration_and_training_mode_back(corpus):
    """The call that began last ends last; both have seen the ids that end a turn, and dropped nothing out."""
    student = Student.plain(tiny.model(corpus.tokenizer.base_size), corpus.tokenizer).train()
    own = student.base.generation_config
    own.eos_token_id = [7, 9]
    ends = sorted(Requests(student, GREEDY, 1, None).ends)
    second_runs, first_is_done, inside = Event(), Event(), []

    def first():
        generate(student, PROMPTS[:1], max_units=5, on_text=lambda *_: second_runs.wait(60))
        first_is_done.set()

    def on_second(*_):
        inside.append(sorted(Requests(student, GREEDY, 1, None).ends))
        second_runs.set()
        first_is_done.wait(60)
        inside.append(student.training)

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(first), threads.submit(generate, student, ["Hi"], on_text=on_second)]
        for call in calls:
            call.result(timeout=120)
    assert student.base.generation_config is own
    assert inside[0] == ends == sorted(Requests(student, GREEDY, 1, None).ends)
    assert {7, 9} <= set(ends)
    assert not any(inside[1::2])
    assert student.training


def test_each_of_two_threads_looks_up_its_own_latents(student, monkeypatch):
    """Both are within a look-up at once, with texts of different lengths."""
    embedding, both = student.base.get_input_embeddings(), Barrier(2)
    units = [torch.arange(first, student.vocabulary.base_size + 4)[None] for first in (0, 1)]
    expected = [embedding(ids) for ids in units]
    forward = embedding.forward

    def look_up(ids):
        both.wait(60)
        return forward(ids)

    monkeypatch.setattr(embedding, "forward", look_up)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(embedding, units))
    assert all(map(torch.equal, found, expected))


def test_the_text_of_a_turn_that_has_ended_does_not_wait_for_the_others(student):
    """A stop string may begin at the end of a turn, whose text is held back until the turn ends."""
    end, text = end_of_turn(student), student.vocabulary.encode_text("ab")
    pieces = []
    sampling = Sampling(stop=("abc",))
    requests = Requests(student, sampling, 2, lambda row, piece: pieces.append((row, piece)))
    for unit in [*text.tolist(), end]:
        requests(torch.tensor([[unit], [int(text[0])]]), None)
    assert "".join(piece for row, piece in pieces if row == 0) == "ab"
    assert requests.results()[0].text == "ab"


def test_a_student_in_training_trains_on_after_a_reply(base):
    for training in (True, False):
        base.train(training)
        generate(base, PROMPTS[:1], max_units=1)
        assert base.training is training


def test_a_base_in_evaluation_mode_stays_in_it(corpus):
    model = tiny.model(corpus.tokenizer.base_size).eval()
    generate(Student.plain(model, corpus.tokenizer), PROMPTS[:1], max_units=1)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("prompts", "error"),
    [([], OptionError), ([""], OptionError), ([np.array([10**6])], VocabularyError)],
)
def test_wrong_prompts_are_refused(student, prompts, error):
    with pytest.raises(error):
        generate(student, prompts)


@pytest.mark.parametrize("is_listed", [True, False])
def test_messages_are_refused_with_what_to_give(student, is_listed):
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(OptionError, match="not messages: give what transformers' apply_chat_template makes"):
        generate(student, [messages] if is_listed else messages)


def test_one_text_is_not_a_list_of_prompts(student):
    with pytest.raises(OptionError, match=r"lar\.generate\(student, \[prompt\]\)"):
        generate(student, "Hello")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"max_units": 0}, {"max_units": "2"}, {"max_units": True}, {"temperature": -1.0}),
        *({"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"top_k": 1.5}),
        *({"end": 5}, {"end": ("a",)}, {"end": (-1,)}, {"stop": 5}, {"stop": (5,)}, {"seed": "x"}),
        {"canonical": "no"},
    ],
)
def test_wrong_sampling_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(OptionError, match=f"^{name} ") as caught:
        Sampling(**wrong)
    assert "\n" not in str(caught.value)


def test_sampling_takes_lists_and_is_the_same_as_with_tuples():
    assert Sampling(stop=["a", "b"], end=[3]) == Sampling(stop=("a", "b"), end=(3,))
    assert Sampling(stop="a").stop == "a"
    assert hash(Sampling(temperature=1, stop=["a"])) == hash(Sampling(temperature=1.0, stop=("a",)))


def test_keywords_are_the_fields_of_sampling(student):
    expected = [one.units.tolist() for one in generate(student, PROMPTS, Sampling(max_units=5))]
    guarded = Sampling(max_units=24)
    assert [one.units.tolist() for one in generate(student, PROMPTS, max_units=5)] == expected
    assert [one.units.tolist() for one in generate(student, PROMPTS, guarded, max_units=5)] == expected
    conversation = Conversation(student, max_units=3)
    conversation.append(PROMPTS[0])
    assert conversation.reply(max_units=5).units.tolist() == expected[0]
    with pytest.raises(OptionError, match="did you mean 'max_units'"):
        generate(student, PROMPTS, max_unit=5)
