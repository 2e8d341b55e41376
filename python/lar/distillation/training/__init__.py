"""Training: the step, the trainer around it, its checkpoints and reports, and what is measured meanwhile."""
