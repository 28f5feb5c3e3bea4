"""`SAE`: one dictionary on rows as they were captured, with the names that the field uses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.codes import Codes, DenseCodes
from husai.saes.config import AnySAEConfig
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture


@dataclass(frozen=True)
class SAEInfo:
    """What `sae.cfg` says: sizes, architecture, and where the rows come from."""

    architecture: str
    d_in: int
    d_sae: int
    hook_name: str
    apply_b_dec_to_input: bool
    dtype: str = "float32"
    device: str = "cpu"


@dataclass
class SAE:
    """One SAE; input scaling (`mean`, `factor`) is applied inside.

    Works in scaled units within: `z = (x - mean) * factor`, `factor` one number or, for rows of several hooks, [W].
    `encode` takes x [..., D] and returns features [..., F]; `decode` returns x_hat [..., O]. `W_enc`, `b_enc`, `W_dec`,
    `b_dec` are those of scaled rows; `folded()` has them in the units of the activations.
    """

    config: AnySAEConfig
    parameters: Parameters
    mean_D: Tensor
    factor: float | Tensor
    hook_name: str = ""

    @property
    def cfg(self) -> SAEInfo:
        """Sizes and origin."""
        d_in, d_sae = self.W_enc.shape
        return SAEInfo(self.config.kind, d_in, d_sae, self.hook_name, self.config.subtract_b_dec)

    @property
    def W_enc(self) -> Tensor:
        """[D, F] view, as elsewhere in the field."""
        return self.parameters["W_enc"].T

    @property
    def W_dec(self) -> Tensor:
        """[F, D]."""
        return self.parameters["W_dec"]

    @property
    def b_enc(self) -> Tensor:
        """[F].

        Raises:
            UserError: the architecture has other biases (gated), and none of them means what `b_enc` does.
        """
        if "b_enc" not in self.parameters:
            biases = ", ".join(n for n in sorted(self.parameters) if n.startswith("b_") and n != "b_dec")
            raise UserError(f"{self.config.kind} has no b_enc: read {biases} from `parameters`, or call encode")
        return self.parameters["b_enc"]

    @property
    def b_dec(self) -> Tensor:
        """[D], in scaled units."""
        return self.parameters["b_dec"]

    def codes(self, x_BD: Tensor) -> Codes:
        """Codes of rows x [B, D] in the units of the activations, sparse where the architecture's are."""
        return architecture(self.config).encode(self.config, self.parameters, self._scaled(x_BD))

    def reconstruct(self, codes: Codes, x_BD: Tensor) -> Tensor:
        """Reconstruction [B, D] in the units of the activations from codes and the rows they were made from."""
        y_BO = architecture(self.config).decode(self.config, self.parameters, codes, self._scaled(x_BD))
        return y_BO * self.output_scale + self._output_mean

    def encode(self, x: Tensor) -> Tensor:
        """Features [..., F] of rows x [..., D]."""
        return self.codes(x.reshape(-1, x.shape[-1])).dense().reshape(*x.shape[:-1], -1)

    def decode(self, features: Tensor) -> Tensor:
        """Reconstruction [..., D] of features [..., F]."""
        codes = DenseCodes(features.reshape(-1, features.shape[-1]))
        nothing_BD = self._means[0].expand(len(codes.values_BF), -1)
        return self.reconstruct(codes, nothing_BD).reshape(*features.shape[:-1], -1)

    def __call__(self, x: Tensor) -> Tensor:
        """Reconstruction [..., D] of rows x [..., D]."""
        rows_BD = x.reshape(-1, x.shape[-1])
        return self.reconstruct(self.codes(rows_BD), rows_BD).reshape(*x.shape[:-1], -1)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What of rows [..., W] it reads, and what it is to give: both the rows, unless it reads several hooks.

        Where the target depends on the parameters (a router picks a layer), it is given in scaled units.
        """
        arch = architecture(self.config)
        read, wanted = arch.split(self.config, rows)
        return read, wanted if arch.target is None else arch.target(self.config, self.parameters, self._scaled(read))

    def _scaled(self, x_BD: Tensor) -> Tensor:
        return (x_BD - self._means[0]) * self._factors[0]

    @property
    def _means(self) -> tuple[Tensor, Tensor]:
        return architecture(self.config).split(self.config, self.mean_D)

    @property
    def _output_mean(self) -> Tensor:
        return self._means[1] if architecture(self.config).target is None else torch.zeros_like(self.b_dec)

    @property
    def _factors(self) -> tuple[float | Tensor, float | Tensor]:
        if not isinstance(self.factor, Tensor):
            return self.factor, self.factor
        return architecture(self.config).split(self.config, self.factor)

    @property
    def output_scale(self) -> float | Tensor:
        """What a unit of W_dec is worth in the units of the activations: a number, or one for each of O dimensions."""
        return 1 / self._factors[1] if architecture(self.config).target is None else 1.0

    @torch.no_grad()
    def folded(self) -> SAE:
        """The same latents with the same values, the scaling inside the parameters: none is applied to the rows."""
        p = architecture(self.config).fold(self.config, self.parameters, self.mean_D, self.factor)
        return replace(self, parameters=p, mean_D=torch.zeros_like(self.mean_D), factor=1.0)
