"""Many arms in several settings, each against trained controls."""
