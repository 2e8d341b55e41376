"""Which of several processes this one is, as the launcher (`accelerate launch`, `torchrun`) tells it.

Nothing here needs torch until something has failed: a command line that runs alone pays nothing.
"""

import os
from datetime import timedelta


def count() -> int:
    """How many processes work on this together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """The process's place among those on its machine, from 0: the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_main() -> bool:
    """Whether this is the one process that claims folders, saves and prints."""
    return count() == 1 or int(os.environ.get("RANK", "0")) == 0


def first_to_fail() -> bool:
    """Whether this process is the first to have failed, and so is the one to say why.

    The others fail with it, for the same reason or because it is gone, and have nothing to add. Where the
    launcher's store cannot be asked, the first process of each machine speaks.
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
