"""Adapters of the peers, one file each: what one complete training step of each tool's own trainer is."""
