"""The digests of a conversation by which it is compared with all others of a log."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lar.trajectories.chains import DIGEST, chain, chain_without_results
from lar.trajectories.origins import ORIGIN, origin_of
from lar.trajectories.schema import Trajectory


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of a conversation with at least one message but the system's.

    origin: `ORIGIN`, of its last message. reply: of a call, the digest without the results of tools; else
    zeros. links: `DIGEST` bytes for each message but the system's, of the conversation up to it.
    """

    origin: bytes
    reply: bytes
    links: bytes

    @classmethod
    def of(cls, trajectory: Trajectory, *, is_call: bool) -> "Digests":
        """The digests of a trajectory; `is_call`: whether it is a call of a model."""
        links = chain(trajectory.messages)
        origin = np.array(origin_of(trajectory, links[-1][0]), np.uint64).tobytes()
        reply = chain_without_results(trajectory.messages)[-1][1] if is_call else bytes(DIGEST)
        return cls(origin, reply, b"".join([digest for _, digest in links]))

    def to_bytes(self) -> bytes:
        """All digests in a row."""
        return self.origin + self.reply + self.links

    @classmethod
    def from_bytes(cls, data: bytes) -> "Digests":
        """The digests of which `to_bytes` made `data`."""
        links = ORIGIN.itemsize + DIGEST
        return cls(data[: ORIGIN.itemsize], data[ORIGIN.itemsize : links], data[links:])

    @property
    def end(self) -> bytes:
        """The digest of the whole conversation."""
        return self.links[-DIGEST:]

    def beginnings(self) -> Iterator[bytes]:
        """Yield the digests of the conversation up to each message but the last."""
        return (self.links[at : at + DIGEST] for at in range(0, len(self.links) - DIGEST, DIGEST))
