"""Loops of the engine `cuda`, written in Triton. Importing them needs the optional package triton."""
