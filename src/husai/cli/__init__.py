"""The command line. Each command imports what it needs when it runs, so that `--help` and the audit start at once."""

# isort: off
from husai.cli import running, making, existing, reading  # in the order of --help
# isort: on

from husai.cli.entry import main
from husai.cli.program import app

__all__ = ["app", "existing", "main", "making", "reading", "running"]
