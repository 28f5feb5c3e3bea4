"""Architectures that read more than one hook: their rows hold the activations of all, side by side. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.saes.config.common import AuxKConfig


class TranscoderConfig(AuxKConfig):
    """Transcoder: reads one hook and reconstructs another (2406.11944); TopK codes."""

    kind: Literal["transcoder"] = "transcoder"
    k: int = Field(default=32, ge=1)
    d_out: int | None = Field(default=None, ge=1, description="width of the output hook; none: half of a row")
    tied_init: bool = Field(default=False, description="W_enc starts as the transpose of W_dec, where widths are equal")
    subtract_b_dec: bool = Field(default=False, description="b_dec belongs to the output hook: only false makes sense")

    @model_validator(mode="after")
    def _own_spaces(self) -> Self:
        if self.subtract_b_dec:
            raise ValueError("a transcoder's b_dec belongs to its output: subtract_b_dec must be false")
        return self

    def widths(self, width: int) -> tuple[int, int]:
        """(d_in, d_out) for rows of `width` columns."""
        d_out = width // 2 if self.d_out is None else self.d_out
        return width - d_out, d_out


class SkipTranscoderConfig(TranscoderConfig):
    """Skip transcoder: a transcoder with a linear path beside it, `+ x W_skip^T` (2501.18823)."""

    kind: Literal["skip_transcoder"] = "skip_transcoder"  # type: ignore[assignment]
