"""The digests of a conversation, as they are stored beside it."""

from hypothesis import given
from hypothesis import strategies as st

from lar.trajectories.chains import chain, chain_without_results
from lar.trajectories.digests import Digests
from lar.trajectories.schema import Trajectory

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
CONVERSATIONS = st.lists(st.builds(lambda role, text: {"role": role, "content": text}, ROLES, st.text())).map(
    lambda messages: [*messages, {"role": "user", "content": "on"}]
)


@given(CONVERSATIONS, st.booleans())
def test_stored_digests_are_those_of_the_conversation(messages, is_call):
    digests = Digests.of(Trajectory("id", "task", messages), is_call=is_call)
    assert Digests.from_bytes(digests.to_bytes()) == digests
    links = [digest for _, digest in chain(messages)]
    assert [*digests.beginnings(), digests.end] == links
    assert digests.reply == (chain_without_results(messages)[-1][1] if is_call else bytes(16))
