"""What each kind of node computes. One file per kind; a node reads its parents' folders and writes its own."""
