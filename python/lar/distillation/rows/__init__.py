"""The latents' new rows in the embedding and in the head, and their start values."""
