"""All stages of this package on a small order desk with a tiny model, in a few minutes on a CPU."""
