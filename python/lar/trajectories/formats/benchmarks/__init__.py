"""Result files of benchmarks."""
