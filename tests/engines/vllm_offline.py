"""Prints greedy replies of vLLM without a server, as JSON; run by the Python of vLLM's environment.

PYTHON vllm_offline.py MODEL < requests.json     [{"messages": [...], "extra_args": {...} or null}, ...]
"""

import json
import sys

from vllm import LLM, SamplingParams


def main() -> None:
    requests = json.load(sys.stdin)
    model = LLM(
        sys.argv[1],
        dtype="float32",
        max_model_len=1024,
        enforce_eager=True,
        logits_processors=["lar.serving.vllm:LatentsPerRequest"],
    )
    replies = []
    for request in requests:
        sampling = SamplingParams(temperature=0, max_tokens=64, logprobs=1, extra_args=request["extra_args"])
        (done,) = model.chat(request["messages"], sampling)
        output = done.outputs[0]
        logprobs = [
            float(step[unit].logprob) for step, unit in zip(output.logprobs, output.token_ids, strict=True)
        ]
        replies.append({"text": output.text, "ids": list(output.token_ids), "logprobs": logprobs})
    print(f"REPLIES {json.dumps(replies)}")


if __name__ == "__main__":
    main()
