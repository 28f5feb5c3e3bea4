"""Sparse autoencoders: one file per architecture, with its objective; stacks of seeds; codes; untrained controls."""
