"""What a serving engine is told of latents where it must be told anything: when they may not be written.

An export needs no plugin: its latents are ordinary tokens. These processors are for those who want one
request without latents, or a model that also writes other speakers' turns with latents in the agent's alone.

`latent_control` knows no engine; `for_transformers` and `for_vllm` are its two faces.
"""
