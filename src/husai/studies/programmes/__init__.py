"""Studies in a row, and the hypotheses that their records decide."""
