"""The latent vocabulary: its segments, and the conversion of base ids to units and back."""

from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary, Reparameterized

__all__ = ["Latent", "LatentVocabulary", "Reparameterized"]
