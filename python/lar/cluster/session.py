"""Connecting to a cluster, and getting results from it with the errors of this package."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from lar.cluster.cluster import Cluster
from lar.errors import ClusterError

logger = logging.getLogger(__name__)

_SECONDS_TO_ANSWER = 10


@contextmanager
def connect(address: str | None = None) -> Iterator[Cluster]:
    """A connection to a Ray cluster, for the time of the block.

    Args:
        address: "host:port", "auto", "local" for a new one on this machine, or None: the cluster of
            RAY_ADDRESS, or the one that runs on this machine, or else a new one. If the process is
            already connected, that connection is used and kept.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no cluster at the address.
    """
    if ray.is_initialized():
        yield Cluster()
        return
    _check_reachable(address or os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(address or None, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster at {address or 'the default address'}: {error}") from error
    logger.info("on the Ray cluster at %s", address or os.environ.get("RAY_ADDRESS") or "the default address")
    try:
        yield Cluster()
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise ClusterError if nothing answers at "host:port"; Ray itself would try for many minutes."""
    match = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {address}: {error}") from error
