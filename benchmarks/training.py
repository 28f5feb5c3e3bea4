"""Complete training steps of husai and of the peers, interleaved on the same data: `python -m benchmarks.training`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.machine import describe, limit_threads, require
from benchmarks.options import Options, read

Row = dict[str, Any]
SHOWN = ("ms_husai", "ms_saelens", "ratio_saelens", "ratio_dictionary_learning", "ratio_sparsify", "ms_encoder_product")
SHOWN = (*SHOWN, "over_floor", "peak_mb_husai", "peak_mb_saelens")
SHOWN_STACKED = ("ms_stacked", "ms_alone", "ratio_alone")


def main(arguments: list[str] | None = None) -> list[Row]:
    """Time every size; print and write each row at once, so that a stopped run leaves what it has."""
    options = read(arguments)
    limit_threads(options.threads)  # before anything that computes is imported
    require(options.device)
    make_row, shown = _what(options)
    print(", ".join(f"{name} {value}" for name, value in describe(options.device).items()))
    print(" ".join(["d_in x d_sae x k x batch x seeds", *shown]), flush=True)
    rows: list[Row] = []
    for size in options.sizes:
        rows.append(make_row(size, options))
        print(" ".join([str(size), *(_cell(rows[-1][name]) for name in shown)]), flush=True)
        _print_settings(rows[-1])
        if options.json is not None:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return rows


def _what(options: Options) -> tuple[Callable[..., Row], tuple[str, ...]]:
    if options.stacked:
        from benchmarks.stacked import stacked_row

        return stacked_row, SHOWN_STACKED
    from benchmarks.rows import table_row

    return table_row, SHOWN


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print_settings(row: Row) -> None:
    for name, found in row["spread"].items():
        if isinstance(found, dict):
            low, high = found["iqr"]
            print(f"  {name}: {found['ms']:.4g} ms (quartiles {low:.4g} to {high:.4g}); {found['setting']}", flush=True)


if __name__ == "__main__":
    main()
