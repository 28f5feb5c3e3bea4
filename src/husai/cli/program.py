"""The program itself: its commands are added by the files beside this one."""

from __future__ import annotations

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which features of a sparse autoencoder come back across seeds, beyond matched nulls?",
    epilog="Start with: husai run quickstart",
)
