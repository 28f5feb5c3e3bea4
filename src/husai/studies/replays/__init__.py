"""Published claims, one file for each or for a family of them; `legacy_formulas` is theirs alone."""
