"""How one optimisation step of S seeds is computed."""
