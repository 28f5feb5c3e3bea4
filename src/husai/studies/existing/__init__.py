"""SAEs that exist already: read, grouped, measured, held against a null."""
