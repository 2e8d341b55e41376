"""From a student to what engines run: a tokenizer and a checkpoint in which each latent is an added token."""
