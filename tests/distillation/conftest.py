"""What tests of training share: the sides of the toy corpus, latents of one of them, and a model."""

import pytest

from lar.mining.mine import mine


@pytest.fixture(scope="session")
def sides(corpus):
    """The toy corpus, divided: what is learnt, and what is held out."""
    return corpus.split(0.3)


@pytest.fixture(scope="session")
def mined(sides):
    """Latents of the side that is learnt."""
    return mine(sides[0], size=12)


@pytest.fixture(scope="session")
def trained(corpus):
    """A tiny model that knows the toy agent's text. It is for all tests: train a copy."""
    from testing import tiny  # here, so that a module without torch is skipped by itself

    return tiny.teacher(corpus)
