"""Generation with a student: requests, conversations that keep their key-value cache, streams of text."""

from lar.generation.conversation import Conversation
from lar.generation.generate import generate
from lar.generation.sampling import Generation, Sampling
from lar.generation.streamer import UnitStreamer

__all__ = ["Conversation", "Generation", "Sampling", "UnitStreamer", "generate"]
