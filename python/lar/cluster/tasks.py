"""Tasks of the cluster: submitting work, and getting results and errors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from lar.errors import ClusterError, LarError


def on_one_core(function: Callable[..., Any], results: int = 1) -> Callable[..., Any]:
    """`function` as a task for one core: a call returns a reference to the result.

    For a function that returns a tuple, `results` is its length, and a call returns as many references.
    """
    # Threads of the Rust core and of the tokenizer: Ray counts cores but does not limit threads.
    environment = {"env_vars": {"RAYON_NUM_THREADS": "1"}}
    options = {"num_cpus": 1, "num_returns": results, "runtime_env": environment}
    submit: Callable[..., Any] = ray.remote(scheduling_strategy="SPREAD", **options)(function).remote
    return submit


def result(reference: Any) -> Any:
    """A task's result, when it is ready.

    Raises:
        LarError, OSError: the error that the task raised.
        ClusterError: the task was lost more often than it is retried, or failed otherwise.
    """
    try:
        return ray.get(reference)
    except RayError as error:
        raise translated(error) from None


def translated(error: RayError) -> Exception:
    """The LarError or OSError that caused one of Ray's errors, else a ClusterError."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, LarError | OSError):
        return cause
    lines = str(cause or error).strip().splitlines()
    return ClusterError(f"a task failed: {type(cause or error).__name__}: {lines[0] if lines else ''}")


@dataclass(frozen=True)
class Resident:
    """A reference to a value that each process fetches once, for all of its tasks.

    Ray replaces a reference among a task's arguments by its value, again for each task. It does not replace
    references inside a Resident.
    """

    reference: Any

    @classmethod
    def of(cls, value: Any) -> "Resident":
        """A Resident of a copy of `value` that all tasks can read."""
        return cls(ray.put(value))

    def fetch(self) -> Any:
        """The value; the same object for all tasks of a process."""
        return _fetch(self)


@lru_cache(maxsize=1)
def _fetch(resident: Resident) -> Any:
    return ray.get(resident.reference)


def nodes() -> list[int]:
    """The cores of each node that has any."""
    alive = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return [int(cores) for cores in alive if cores >= 1]


def cores_of_a_node() -> int:
    """The cores of the smallest node: every node can run a task for that many."""
    return min(nodes(), default=1)


def number_of_cores() -> int:
    """Cores of the whole cluster."""
    return max(1, sum(nodes()))


def number_of_gpus() -> int:
    """GPUs of the whole cluster."""
    return int(ray.cluster_resources().get("GPU", 0))
