"""Dictionaries that nobody trained, behind the same encode and decode: what a number must beat."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from husai.errors import Refused
from husai.saes.parameters import unit_rows
from husai.saes.registry import architecture
from husai.saes.stack import SAEStack
from husai.seeds import Role, derive


def torch_generator(root: int, role: Role, *index: int | str) -> torch.Generator:
    """Torch generator of a named stream."""
    return torch.Generator().manual_seed(derive(root, role, *index))


def untrained(stack: SAEStack, root: int, vary: Collection[Role]) -> SAEStack:
    """The stack as it was at step 0: every seed with its own initialisation (same streams as its training).

    `vary` are the streams that differed between the seeds in training.

    Raises:
        Refused: all seeds started from one initialisation, so that untrained ones would agree perfectly; the
            architecture is never trained; or it starts from rows, which are not at hand here.
    """
    if Role.SAE_INIT not in vary:
        raise Refused(
            "the untrained control does not apply: all seeds start from the same initialisation and agree with "
            "themselves; vary sae_init (training.vary), or leave this control out"
        )
    arch = architecture(stack.config)
    if not arch.trained:
        raise Refused(f"the untrained control does not apply: {stack.config.kind} is never trained, so it is its own")
    if arch.needs_rows:
        raise Refused(f"the untrained control does not apply: {stack.config.kind} starts from rows of the data")
    d_in = stack.mean_D.shape[0]
    starts = [arch.init(stack.config, d_in, torch_generator(root, Role.SAE_INIT, seed), None) for seed in stack.seeds]
    return _with(stack, {name: torch.stack([p[name] for p in starts]) for name in starts[0]})


def random_decoder(stack: SAEStack, root: int) -> SAEStack:
    """Trained encoder kept, decoder rows replaced by random unit rows of the control stream."""
    rows = [
        unit_rows(torch.randn(stack.parameters["W_dec"][i].shape, generator=torch_generator(root, Role.CONTROL, seed)))
        for i, seed in enumerate(stack.seeds)
    ]
    return _with(stack, {**stack.parameters, "W_dec": torch.stack(rows)})


def permuted_decoder(stack: SAEStack, root: int) -> SAEStack:
    """Each decoder row given to another latent: the same dictionary as a set, the wrong code for it."""
    rows = []
    for i, seed in enumerate(stack.seeds):
        order = torch.randperm(stack.config.d_sae, generator=torch_generator(root, Role.CONTROL, seed, "permute"))
        rows.append(stack.parameters["W_dec"][i][order])
    return _with(stack, {**stack.parameters, "W_dec": torch.stack(rows)})


def _with(stack: SAEStack, parameters: dict[str, Tensor]) -> SAEStack:
    copies = {name: tensor.clone() for name, tensor in parameters.items()}
    return SAEStack(stack.config, stack.seeds, copies, stack.mean_D, stack.factor, stack.hook_name)
