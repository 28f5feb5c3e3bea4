"""A small causal transformer with the hook names of TransformerLens.

Axes: B batch, T position, D model width, H heads, C head width, M mlp width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from husai.errors import UserError
from husai.models.config import TransformerConfig
from husai.models.hooks import HookPoint, hook_points

ACTIVATIONS = {"relu": functional.relu, "gelu": functional.gelu}


def _weight(generator: torch.Generator, *shape: int) -> nn.Parameter:
    """Gaussian matrix [in, out] of standard deviation 1/sqrt(in)."""
    return nn.Parameter(torch.randn(*shape, generator=generator) / math.sqrt(shape[0]))


def _table(generator: torch.Generator, rows: int, d_model: int) -> nn.Parameter:
    """Embedding table whose rows have an expected square norm of 1."""
    return nn.Parameter(torch.randn(rows, d_model, generator=generator) / math.sqrt(d_model))


def _norm(config: TransformerConfig) -> nn.Module:
    return nn.LayerNorm(config.d_model) if config.layer_norm else nn.Identity()


class Attention(nn.Module):
    """Causal attention of H heads, without biases. Weights are [D, H*C] and `W_O` is [H*C, D]."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.d_head = config.n_heads, config.d_head
        self.W_Q, self.W_K, self.W_V, self.W_O = (_weight(generator, d, d) for _ in range(4))
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_pattern, self.hook_z = HookPoint(), HookPoint()

    def forward(self, x_BTD: Tensor, last_only: bool) -> Tensor:
        """[B, T, D]; with `last_only` the output of the last position alone, [B, 1, D]."""
        q_BQHC = self.hook_q(self._heads(x_BTD[:, -1:] if last_only else x_BTD, self.W_Q))
        k_BTHC = self.hook_k(self._heads(x_BTD, self.W_K))
        v_BTHC = self.hook_v(self._heads(x_BTD, self.W_V))
        scores_BHQT = q_BQHC.transpose(1, 2) @ k_BTHC.permute(0, 2, 3, 1) / math.sqrt(self.d_head)
        if not last_only:  # the last position may look at every one
            scores_BHQT = scores_BHQT.masked_fill(_future(x_BTD), -torch.inf)
        pattern_BHQT = self.hook_pattern(scores_BHQT.softmax(-1))
        z_BQHC = self.hook_z((pattern_BHQT @ v_BTHC.transpose(1, 2)).transpose(1, 2))
        return z_BQHC.flatten(2) @ self.W_O

    def _heads(self, x_BTD: Tensor, weight: Tensor) -> Tensor:
        return (x_BTD @ weight).unflatten(2, (self.n_heads, self.d_head))


def _future(x_BTD: Tensor) -> Tensor:
    """[T, T] true where the column comes after the row."""
    n = x_BTD.shape[1]
    return torch.ones(n, n, dtype=torch.bool, device=x_BTD.device).triu(1)


class MLP(nn.Module):
    """D -> M -> D with one activation function."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.W_in, self.b_in = _weight(generator, config.d_model, config.d_mlp), nn.Parameter(torch.zeros(config.d_mlp))
        self.W_out = _weight(generator, config.d_mlp, config.d_model)
        self.b_out = nn.Parameter(torch.zeros(config.d_model))
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D]."""
        post_BTM = self.hook_post(self.activation(self.hook_pre(x_BTD @ self.W_in + self.b_in)))
        return post_BTM @ self.W_out + self.b_out


class Block(nn.Module):
    """Attention, then the MLP, each added to the residual stream."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.hook_resid_pre = HookPoint()
        self.ln1, self.attn, self.hook_attn_out = _norm(config), Attention(config, generator), HookPoint()
        self.hook_resid_mid = HookPoint()
        self.ln2, self.mlp, self.hook_mlp_out = _norm(config), MLP(config, generator), HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, resid_BTD: Tensor, last_only: bool = False) -> Tensor:
        """Residual stream [B, T, D]; with `last_only` that of the last position alone, [B, 1, D]."""
        resid_BTD = self.hook_resid_pre(resid_BTD)
        attn_BTD = self.hook_attn_out(self.attn(self.ln1(resid_BTD), last_only))
        resid_BTD = self.hook_resid_mid((resid_BTD[:, -1:] if last_only else resid_BTD) + attn_BTD)
        return self.hook_resid_post(resid_BTD + self.hook_mlp_out(self.mlp(self.ln2(resid_BTD))))


class Transformer(nn.Module):
    """Tokens to logits. Weights are drawn from `stream`, a seed made by `seeds.derive`; biases start at 0."""

    def __init__(self, config: TransformerConfig, stream: int) -> None:
        super().__init__()
        d_vocab, n_ctx, d_vocab_out = config.sizes()
        generator = torch.Generator().manual_seed(stream)
        self.config = config
        self.W_E, self.W_pos = _table(generator, d_vocab, config.d_model), _table(generator, n_ctx, config.d_model)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()
        self.blocks = nn.ModuleList(Block(config, generator) for _ in range(config.n_layers))
        self.ln_final = _norm(config)
        self.W_U = _weight(generator, config.d_model, d_vocab_out)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits [B, T, V] at every position.

        Raises:
            UserError: more positions than the model has.
        """
        resid_BTD = self._embed(tokens_BT)
        for block in self.blocks:
            resid_BTD = block(resid_BTD)
        return self.ln_final(resid_BTD) @ self.W_U

    def answer(self, tokens_BT: Tensor, position: int) -> Tensor:
        """Logits [B, V] at one position; what only other positions need is not computed, so hooks must be idle.

        Raises:
            UserError: a hook is in use, the position does not exist, or there are more positions than the model has.
        """
        if any(point.active for point in hook_points(self).values()):
            raise UserError("hooks see every position only in forward(tokens): use that while they are in use")
        if not 0 <= position < tokens_BT.shape[1]:
            raise UserError(f"position {position} does not exist: there are {tokens_BT.shape[1]}")
        resid_BTD = self._embed(tokens_BT[:, : position + 1])
        for block in self.blocks[:-1]:
            resid_BTD = block(resid_BTD)
        resid_B1D = self.blocks[-1](resid_BTD, last_only=True)
        return self.ln_final(resid_B1D[:, 0]) @ self.W_U

    def _embed(self, tokens_BT: Tensor) -> Tensor:
        n = tokens_BT.shape[1]
        if n > len(self.W_pos):
            raise UserError(f"the model has {len(self.W_pos)} positions (n_ctx), the input has {n}")
        embed_BTD = self.hook_embed(functional.embedding(tokens_BT, self.W_E))
        return embed_BTD + self.hook_pos_embed(self.W_pos[:n].expand_as(embed_BTD))
