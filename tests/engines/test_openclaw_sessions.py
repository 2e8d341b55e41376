"""The scripted sessions of the OpenClaw bench: reproducible, distinct tasks, and valid edits."""

from hypothesis import given
from hypothesis import strategies as st

from benches.openclaw.recording import transcript_of
from benches.openclaw.sessions import sessions
from testing.engines.recording_server import Exchange

seeds = st.integers(0, 10_000)


@given(seed=seeds, number=st.integers(1, 20))
def test_sessions_depend_on_the_seed_alone_and_are_tasks_of_their_own(seed, number):
    planned = sessions(number, seed)
    assert planned == sessions(number, seed)
    assert len({session.name for session in planned}) == number


@given(seed=seeds)
def test_every_reply_but_the_last_has_calls(seed):
    for session in sessions(6, seed):
        *earlier, last = session.replies
        assert all(reply.calls for reply in earlier)
        assert last.text
        assert not last.calls


@given(seed=seeds)
def test_an_edited_text_occurs_once_in_its_file(seed):
    for session in sessions(6, seed):
        calls = [call for reply in session.replies for call in reply.calls if call.name == "edit"]
        for arguments in (call.arguments for call in calls):
            for edit in arguments["edits"]:
                assert session.files[arguments["path"]].count(edit["oldText"]) == 1


def test_a_transcript_holds_the_agents_turns_as_they_were_written():
    def exchange(messages, *texts):
        chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
        return Exchange({"messages": messages, "tools": []}, chunks)

    asked = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    first = exchange(asked, "a ", "b")
    second = exchange([*asked, {"role": "assistant", "content": "a b, rewritten"}], "c")
    transcript = transcript_of("task", [first, second])
    assert [message["content"] for message in transcript["messages"]] == ["s", "u", "a b", "c"]
