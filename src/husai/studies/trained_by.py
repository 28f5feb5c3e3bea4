"""Arms that SAELens trains: which it can be asked for, whether it is here, and the node that asks.

The arm is declared as an SAE of husai. SAELens can be asked for it where the finished SAE is one and the same function
in both, and where every option that husai would act on is one that SAELens acts on as well; anything else is refused
when the arm is declared. What SAELens does in its own way is said by `husai.training.saelens`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

from husai.saes.config import AnySAEConfig, AuxKConfig
from husai.saes.config.limits import takes_only
from husai.studies.node import Node
from husai.training.config import TrainingConfig

TrainedBy = Literal["husai", "saelens"]
ARCHITECTURES = {"topk": "topk", "relu_l1": "standard"}  # husai's kind, and what SAELens calls it
KIND = "saelens_stack"
PACKAGE, MODULE = "sae-lens", "sae_lens"
INSTALL = f"pip install {PACKAGE}"
# What a training needs: an older or a broken SAELens lacks one of them.
MODULES = ("sae_lens.saes.topk_sae", "sae_lens.saes.standard_sae", "sae_lens.config", "sae_lens.training.sae_trainer")
_MOST = 160  # characters of somebody else's error message


def check_trainer(sae: AnySAEConfig, l0: float | None, coupled: bool) -> None:
    """Refuse an arm that SAELens cannot be asked for.

    Raises:
        ValueError: what it may be, and why, in one line.
    """
    why = "SAELens does nothing else when it trains (trained_by)"
    if sae.kind not in ARCHITECTURES:
        raise ValueError(f"kind must be {' or '.join(ARCHITECTURES)}, not {sae.kind}: SAELens trains no other here")
    if coupled:
        raise ValueError("coupling must be none: SAELens trains one seed after another (trained_by)")
    if l0 is not None and sae.kind != "topk":
        raise ValueError(f"l0 must be none: it is searched for with husai's training, write the l1 of {sae.kind}")
    takes_only(sae, why, decoder_norm=("unit", "free"), tied_init=True, decorrelation=0.0, freeze="none")
    takes_only(sae, why, supervised=None, song_l1=None)
    if isinstance(sae, AuxKConfig):
        default = AuxKConfig.model_fields["aux_coefficient"].default
        takes_only(sae, "SAELens weighs AuxK by a scale of its own", aux_coefficient=default)


@cache
def why_not() -> str:
    """Why SAELens cannot train here; empty where it can.

    Only importing it tells: a neighbour's version can break it. It is tried once, and costs seconds where it is there.
    """
    if find_spec(MODULE) is None:
        return f"{MODULE} is not installed ({INSTALL})"
    try:
        for name in MODULES:
            import_module(name)
        version(PACKAGE)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError, PackageNotFoundError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{MODULE} is installed and cannot be imported ({said[:_MOST]}): repair it ({INSTALL})"
    return ""


def saelens_stack_node(
    sae: AnySAEConfig,
    training: TrainingConfig,
    steps: int,
    seeds: tuple[int, ...],
    root: int,
    activations: Node,
    title: str,
) -> Node:
    """Let SAELens train `seeds` of one SAE for `steps` steps.

    Its version is part of what is computed: another one is another trainer. The engine is none of husai's, and says
    nothing here.
    """
    budget = training.model_copy(update={"steps": steps, "engine": "auto"})
    fields = {
        "sae": sae.plain(),
        "training": budget.plain(),
        "seeds": list(seeds),
        "root_seed": root,
        "sae_lens": version(PACKAGE),
    }
    return Node(KIND, title, fields, {"activations": activations})
