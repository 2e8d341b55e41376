"""The rank of this process, from the environment of the launcher (`accelerate launch`, `torchrun`).

torch is imported only after a failure, so a command without a launcher stays fast.
"""

import os
from datetime import timedelta


def count() -> int:
    """The number of processes of the launcher; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """The rank of the process on its machine, from 0; the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_main() -> bool:
    """Whether this is the process that claims folders, saves and prints."""
    return count() == 1 or int(os.environ.get("RANK", "0")) == 0


def first_to_fail() -> bool:
    """Whether this process failed first, and should print the error.

    The others then fail for the same reason, or because this one is gone. If the launcher's store cannot be
    reached, the result is true for the first process of each machine.
    """
    if count() == 1:
        return True
    try:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=5), wait_for_workers=False)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return bool(store.add(f"lar/failed/{attempt}", 1) == 1)
    except (ImportError, KeyError, RuntimeError, ValueError):
        return local_rank() == 0
