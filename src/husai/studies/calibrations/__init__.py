"""Which k may be recommended, and why most often none."""
