"""Records, identity, provenance and run folders: what was done, findable and checkable."""
