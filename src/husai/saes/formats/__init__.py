"""SAEs from folders and files: one module per tool, and `load.py`, which finds out whose a folder is."""
