"""What a number is worth: seed-level intervals, paired tests, corrections, the decision rule. NumPy and SciPy only."""
