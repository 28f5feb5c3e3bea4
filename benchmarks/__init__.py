"""Throughput, side by side with the peers: `python -m benchmarks.training`. README.md says how to run and read it."""
