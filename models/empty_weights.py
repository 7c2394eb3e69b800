"""Build networks without their initial weights, for a reader of a weights file, who overwrites them anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_METHODS = frozenset({Tensor.uniform_, Tensor.normal_})
_FUNCTIONS = frozenset({init.uniform_, init.normal_, init.kaiming_uniform_})
"""What the networks and torch's own layers draw with. These pass their tensor by name."""


class EmptyWeights(TorchFunctionMode):
    """Within this context, random initial weights are not drawn: their tensors hold whatever was in memory before.

    Drawing them takes a twentieth of a worker's start (measured).
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Call the function, or return the tensor that it would fill."""
        kwargs = kwargs or {}
        if func in _METHODS:
            return args[0]
        return kwargs["tensor"] if func in _FUNCTIONS else func(*args, **kwargs)
