"""Named places inside a model where activations are read (`capture`) or replaced (`patch`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from torch import Tensor, nn

from husai.errors import UserError, unknown

Edit = Callable[[Tensor], Tensor]
Entry = TypeVar("Entry")


class HookPoint(nn.Module):
    """Identity with a name (its path in the model). Edits run in the order given, then readers see the result."""

    def __init__(self) -> None:
        super().__init__()
        self.edits: list[Edit] = []
        self.readers: list[Callable[[Tensor], None]] = []

    @property
    def active(self) -> bool:
        """Whether somebody reads or edits here now."""
        return bool(self.edits or self.readers)

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself, or what the edits made of it."""
        for edit in self.edits:
            x = edit(x)
        for read in self.readers:
            read(x)
        return x


def hook_points(model: nn.Module) -> dict[str, HookPoint]:
    """Every hook point of the model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, HookPoint)}


def hook_names(model: nn.Module) -> list[str]:
    """Names of all hooks, in the order of the model's definition (TransformerLens names)."""
    return list(hook_points(model))


def find_hook(model: nn.Module, name: str) -> HookPoint:
    """The hook point of that name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    points = hook_points(model)
    if name not in points:
        raise unknown("hook", name, points)
    return points[name]


@contextmanager
def capture(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Inside the block, every forward pass puts the activations at `names` into the dict (the latest pass wins).

    What is captured is what later layers receive, patches included. Tensors stay in the graph: use `torch.no_grad()`
    unless gradients are wanted.

    Raises:
        UserError: unknown hook name.
    """
    points = {name: find_hook(model, name) for name in names}
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, point in points.items():
            stack.enter_context(_registered(point.readers, _reader(found, name)))
        yield found


@contextmanager
def patch(model: nn.Module, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Inside the block, activations at each name are replaced by `edits[name](activations)`.

    A function gets a copy, so that it may edit in place. Blocks nest: the outer edit runs first.

    Raises:
        UserError: unknown hook name; on the forward pass, an edit that changes shape, dtype or device.
    """
    points = [(find_hook(model, name), _checked(name, edit)) for name, edit in edits.items()]
    with ExitStack() as stack:
        for point, edit in points:
            stack.enter_context(_registered(point.edits, edit))
        yield


@contextmanager
def _registered(entries: list[Entry], entry: Entry) -> Iterator[None]:
    """Keep `entry` in `entries` inside the block; removed by identity, whatever happens."""
    entries.append(entry)
    try:
        yield
    finally:
        entries[:] = [other for other in entries if other is not entry]


def _reader(found: dict[str, Tensor], name: str) -> Callable[[Tensor], None]:
    def read(x: Tensor) -> None:
        found[name] = x

    return read


def _checked(name: str, edit: Edit) -> Edit:
    def checked(x: Tensor) -> Tensor:
        y = edit(x.clone())
        if not isinstance(y, Tensor) or (y.shape, y.dtype, y.device) != (x.shape, x.dtype, x.device):
            given = f"{tuple(y.shape)} {y.dtype} {y.device}" if isinstance(y, Tensor) else type(y).__name__
            raise UserError(f"patch at {name} must return {tuple(x.shape)} {x.dtype} {x.device}, not {given}")
        return y

    return checked
