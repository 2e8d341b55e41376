"""The new rows of the latents, in the embedding and in the head: what they are, and what they start as."""
