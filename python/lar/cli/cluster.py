"""`--ray`: the same commands on a cluster. Without the option nothing of it is imported."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lar.errors import OptionError

if TYPE_CHECKING:
    from lar.cluster import Cluster

ray_option = click.option(
    "--ray",
    "ray_address",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Work on the Ray cluster at ADDRESS (host:port), whose nodes must see the same files. Without an "
    "ADDRESS, which then must be the last option, use RAY_ADDRESS or this machine's cluster.",
)


@contextmanager
def cluster_at(ray_address: str | None) -> Iterator["Cluster | None"]:
    """The cluster that `--ray` names ("" for the default one), for the time of the block; None without it.

    Raises:
        OptionError: the option has swallowed an argument of the command.
        MissingExtraError: Ray is not installed.
        ClusterError: no cluster is there.
    """
    if ray_address is None:
        yield None
        return
    if ray_address and Path(ray_address).exists():
        raise OptionError(f"--ray takes {ray_address} for its address; write --ray last")
    from lar.cluster import connect

    # Standard output carries results only; Ray writes there when it loses a worker.
    with redirect_stdout(sys.stderr), connect(ray_address or None) as cluster:
        yield cluster
