"""Export of students, and control of when engines may write latents.

An export needs no plugin: its latents are ordinary tokens. The logits processors here are for a request
without latents, or for a model that also writes other speakers' turns, to keep latents to the agent's.

`latent_control` is independent of engines; `transformers` and `vllm` wrap it for these two.
"""
