"""A corpus as a Python object: equality, pickling, length, truth."""

import pickle

from lar.corpus import Corpus


def test_two_loads_are_equal_and_a_selection_is_another(corpus):
    again = Corpus.load(str(corpus.path))
    assert again == corpus
    assert hash(again) == hash(corpus)
    train, held_out = corpus.split(0.3)
    assert train != corpus
    assert train != held_out
    assert train == again.split(0.3)[0]
    assert train != again.split(0.3, seed=1)[0]
    assert corpus != str(corpus.path)


def test_a_corpus_and_a_split_can_be_pickled(corpus):
    train, _ = corpus.split(0.3)
    for one in (corpus, train, train.split(0.5)[1]):
        back = pickle.loads(pickle.dumps(one))
        assert back == one
        assert back.tasks == one.tasks
        assert back.num_tokens == one.num_tokens


def test_length_and_repr(corpus):
    train, held_out = corpus.split(0.3)
    assert len(train) + len(held_out) == len(corpus) == 60
    assert "60 trajectories" in repr(corpus)
    assert "selection" in repr(train)
    nothing = corpus.select(lambda _: False)
    assert len(nothing) == 0
    assert nothing  # a corpus all the same
