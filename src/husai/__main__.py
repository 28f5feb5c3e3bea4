"""`python -m husai` is `husai`."""

from __future__ import annotations

from husai.cli import main

if __name__ == "__main__":
    main()
