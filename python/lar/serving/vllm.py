"""A logits processor for vLLM: latents forbidden in a request, or allowed in the agent's turns alone.

    vllm serve export/ --logits-processors lar.serving.vllm:LatentsPerRequest

A request has `"vllm_xargs": {"latents": "forbid"}` (or "agent", or "allow", the default) in its body; with
vLLM's own classes, `SamplingParams(extra_args={"latents": "forbid"})`. The package must be installed beside
vLLM; only what this module needs is imported from it.
"""

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lar.errors import EngineError
from lar.serving.latent_control import LatentControl, LatentFollower

try:
    from vllm.v1.sample.logits_processor import AdapterLogitsProcessor
except ImportError as error:
    if error.name == "vllm":
        raise EngineError("vLLM is not installed beside lar: version 0.11 or newer is needed") from error
    raise EngineError(
        "this vLLM has no logits processors for single requests: version 0.11 or newer is needed"
    ) from error

logger = logging.getLogger(__name__)

ARGUMENT = "latents"


class LatentsPerRequest(AdapterLogitsProcessor):  # type: ignore[misc]  # vLLM is not typed here
    """Masks the latents of an export in requests that ask for it."""

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        super().__init__(vllm_config, device, is_pin_memory)
        folder = vllm_config.model_config.model
        self._control = LatentControl.of_export(folder)
        if self._control.count and not self._control.agent_header:
            logger.warning(
                "%s: the chat template has no token that opens the agent's turns, so a request that keeps "
                "latents to these gets none",
                folder,
            )

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise OptionError (a ValueError: status 400 over HTTP) for a mode that does not exist."""
        LatentControl(0, 0, (0,)).follow(_mode(sampling_params))

    def is_argmax_invariant(self) -> bool:
        """False: masking may change the likeliest id."""
        return False

    def new_req_logits_processor(
        self, params: Any
    ) -> Callable[[list[int], list[int], Tensor], Tensor] | None:
        """The processor of one request; None if latents are always allowed."""
        mode = _mode(params)
        if mode == "agent" and not self._control.agent_header:
            # `validate_params` does not know the export, and an error here would end the server.
            mode = "forbid"
        if mode == "allow" or not self._control.count:
            return None
        return _OneRequest(self._control, self._control.follow(mode))


class _OneRequest:
    """Follows the ids of one request; vLLM passes its prompt and the growing list of generated ids."""

    def __init__(self, control: LatentControl, follower: LatentFollower) -> None:
        self._latents = slice(control.first, control.first + control.count)
        self._follower = follower
        self._read = -1  # generated ids that were read; -1 before the prompt is read

    def __call__(self, prompt: list[int], written: list[int], logits: Tensor) -> Tensor:
        """Return `logits` (rows) with -inf at the latents, if the next id may not be one."""
        if self._read < 0:
            self._follower.push(prompt)
            self._read = 0
        self._follower.push(written[self._read :])
        self._read = len(written)
        if not self._follower.allowed:
            logits[self._latents] = float("-inf")
        return logits


def _mode(params: Any) -> str:
    return str((params.extra_args or {}).get(ARGUMENT, "allow"))
