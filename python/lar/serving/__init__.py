"""From a student to what serving engines run, and latents forbidden in single requests.

An export needs no plugin: its latents are ordinary tokens. The logits processors here are for two cases: one
request without latents, and a model that writes other speakers' turns too, with latents in the agent's alone.

`latent_control` works on plain ids, without an engine; `transformers` and `vllm` wrap it for these two.
"""
