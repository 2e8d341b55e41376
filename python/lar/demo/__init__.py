"""A small order desk, an expert and a tiny model: the whole way of this package in a few minutes on a CPU."""
