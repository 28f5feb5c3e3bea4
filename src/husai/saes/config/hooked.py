"""Architectures that read more than one hook: their rows hold the activations of all, side by side. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.saes.config.common import CommonConfig, KConfig
from husai.saes.config.limits import takes_only


class TranscoderConfig(KConfig):
    """Transcoder: reads one hook and reconstructs another (2406.11944); TopK codes."""

    kind: Literal["transcoder"] = "transcoder"
    d_out: int | None = Field(default=None, ge=1, description="width of the output hook; none: half of a row")
    activation: Literal["topk", "relu", "jumprelu"] = Field(
        default="topk", description="of the codes; all but topk are for transcoders that another tool trained"
    )
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


class RouteConfig(KConfig):
    """RouteSAE (2503.08200): one dictionary over several layers; a router picks the layer of each row; TopK codes."""

    kind: Literal["route"] = "route"
    layers: int = Field(default=2, ge=2, description="hooks in a row, all of one width")


class JacobianConfig(CommonConfig):
    """JSAE (2502.18147): a pair of TopK SAEs around an MLP whose Jacobian between latents is made sparse.

    Half of the `d_sae` latents read the MLP's input, half its output; `k` are kept on each side.
    """

    kind: Literal["jsae"] = "jsae"
    k: int = Field(default=32, ge=1)
    jacobian: float = Field(
        default=0.0, ge=0, description="weight of |J|, a mean over k x k pairs, relative to the rows' variance"
    )
    d_mlp: int = Field(default=512, ge=1, description="width of the MLP")
    activation: Literal["relu", "gelu"] = Field(default="relu", description="of the MLP")

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.d_sae % 2:
            raise ValueError("d_sae is shared by two SAEs: give an even number")
        if self.decorrelation:
            raise ValueError("decorrelation has no meaning across two dictionaries: leave it at 0")
        takes_only(self, "a head would read the codes of two SAEs as if they were one's", supervised=None)
        return self
