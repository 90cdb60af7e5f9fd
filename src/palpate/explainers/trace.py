"""The feature maps on the way from the image to the logits, found by following one pass through its operations.

Every operation that torch sees is written down as a node with its parents. A map lies on every path if no operation after it reads a tensor
from before it.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from palpate.models.outputs import Logits

Reshape = Callable[[Tensor], Tensor]
"""From what a network computes to a map (N, C, h, w)."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One operation of a pass.

    Attributes:
        count: its place among those that return a tensor, from 0.
        name: of its function.
        shape: of what it returns for one image.
    """

    count: int
    name: str
    shape: torch.Size


@dataclasses.dataclass
class Node:
    """A tensor that depends on the image.

    Attributes:
        tensor: what was computed.
        parents: the nodes that it was computed from.
        name: the outermost module that returns it; else its operation and the module in which it was made.
        call: the operation that returns it alone, or None where torch did not see one.
        module: the module that returns it, where there is no call.
        learned: whether a parameter took part in it.
    """

    tensor: Tensor
    parents: list[int]
    name: str
    call: Call | None = None
    module: nn.Module | None = None
    learned: bool = True


class Keep(TorchFunctionMode):
    """Puts the result of one operation through a function, with whether it was made in place."""

    def __init__(self, call: Call, keep: Callable[[Tensor, bool], Tensor]) -> None:
        super().__init__()
        self.count, self.call, self.keep = -1, call, keep

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.count += 1
            if self.call == Call(self.count, _name(func), result.shape[1:]):
                return self.keep(result, any(result is each for each in args))
        return result


class Record(TorchFunctionMode):
    """Writes down every tensor that depends on the images, in the order in which they are made."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.count = -1
        self.nodes = [Node(images, [], "images", learned=False)]
        self.newest = {id(images): 0}  # of each tensor the node of its last change
        self.makers: dict[Any, int] = {}  # of each node of the autograd graph the tensor that it made
        self.inside = [type(model).__name__]  # names of the modules that are running
        self.hooks: list[Any] = []
        for name, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                self.hooks.append(module.register_forward_pre_hook(partial(self._enter, name)))
                self.hooks.append(module.register_forward_hook(self._leave))

    def __exit__(self, *error: Any) -> None:
        for hook in self.hooks:
            hook.remove()
        super().__exit__(*error)

    def _enter(self, name: str, *_given: Any) -> None:
        self.inside.append(name or self.inside[0])

    def _leave(self, module: nn.Module, _given: Any, output: Any) -> None:
        name = self.inside.pop()
        index = self.node_of(output) if isinstance(output, Tensor) else None
        if index is not None:
            self.nodes[index].name = name
            self.nodes[index].module = module

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.count += isinstance(result, Tensor)
        given = list(_tensors((args, kwargs)))
        parents = [node for node in map(self.node_of, given) if node is not None]
        if parents:
            name = _name(func)
            learned = any(isinstance(each, nn.Parameter) for each in given)
            learned = learned or any(self.nodes[parent].learned for parent in parents)
            call = Call(self.count, name, result.shape[1:]) if isinstance(result, Tensor) else None
            for tensor in [args[0]] if name == "__setitem__" else _tensors(result):
                self._add(Node(tensor, parents, f"{name} in {self.inside[-1]}", call, learned=learned))
        return result

    def _add(self, node: Node) -> int:
        self.nodes.append(node)  # which keeps the tensor, so that no other gets its id
        self.newest[id(node.tensor)] = len(self.nodes) - 1
        if node.tensor.grad_fn is not None:
            self.makers.setdefault(node.tensor.grad_fn, len(self.nodes) - 1)
        return len(self.nodes) - 1

    def node_of(self, tensor: Tensor) -> int | None:
        """The node of a tensor; one that no visible operation made (a compiled function, say) is placed by its autograd graph."""
        if id(tensor) in self.newest or tensor.grad_fn is None:
            return self.newest.get(id(tensor))
        parents, seen, stack = set(), set(), [tensor.grad_fn]
        while stack:
            maker = stack.pop()
            if maker in self.makers:
                parents.add(self.makers[maker])
            elif maker is not None and maker not in seen:
                seen.add(maker)
                stack += [before for before, _ in maker.next_functions]
        return self._add(Node(tensor, sorted(parents), f"operation in {self.inside[-1]}")) if parents else None


def _name(operation: Any) -> str:
    return getattr(operation, "__name__", "operation")


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def pooled_map(model: nn.Module, images: Tensor) -> tuple[Node, Reshape] | None:
    """The last map through which every path goes and of which more than one position has a gradient; None where there is no map.

    Where no map has such a gradient (weights of zero, say), the last one.
    """
    with torch.enable_grad():
        images = images.requires_grad_().clone()  # no leaf, which a network must not change in place
    record = Record(model, images)
    with torch.enable_grad(), record:
        logits = Logits()(model(images))
        end = record.node_of(logits)
    found = [] if end is None else list(_maps(record.nodes, end, images))
    if not found or not logits.requires_grad:  # something before the map cannot be differentiated
        return found[-1] if found else None
    weights = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
    tensors = [node.tensor for node, _ in found]
    gradients = torch.autograd.grad(logits, tensors, weights, allow_unused=True)
    for (node, reshape), gradient in zip(found[::-1], gradients[::-1], strict=True):
        if gradient is not None and (reshape(gradient) != 0).any(1).any(0).sum() > 1:
            return node, reshape
    return found[-1]


def _maps(nodes: list[Node], end: int, images: Tensor) -> Iterator[tuple[Node, Reshape]]:
    """The maps, in their order, that lie on every path to the logits, up to the first vector (N, F) that does."""
    needed = {end}
    for index in range(end, -1, -1):
        if index in needed:
            needed.update(nodes[index].parents)
    reach = {index: index for index in needed}  # the last tensor that is made of this one
    for index in sorted(needed):
        for parent in nodes[index].parents:
            reach[parent] = max(reach[parent], index)
    furthest, before = 0, None
    for index in sorted(needed):
        node = nodes[index]
        if furthest <= index and node.learned:  # no path jumps over it
            if node.tensor.ndim == 2 and len(node.tensor) == len(images):
                return
            reshape = layout(node.tensor, images, before)
            if reshape is not None:
                before = reshape(node.tensor)
                if node.call is not None or node.module is not None:
                    yield node, reshape
        furthest = max(furthest, reach[index])


def layout(tensor: Tensor, images: Tensor, before: Tensor | None = None) -> Reshape | None:
    """How to lay a tensor out as maps (N, C, h, w) of more than one position; None where its layout is not known.

    Args:
        tensor: (N, C, h, w), (N, h, w, C), or (N, L, C) with up to 8 class, distillation and register tokens in front.
        images: (N, _, H, W), whose shape the maps have, up to rounding.
        before: a map (N, C, h, w) from which the tensor was made; it may be the same with its positions in a row, (N, C, h·w).
    """
    height, width = images.shape[2:]
    sides = tuple(tensor.shape[1:])
    if len(tensor) != len(images) or tensor.ndim not in (3, 4):
        return None
    if tensor.ndim == 4:
        if _is_grid(sides[1], sides[2], height, width):
            return lambda maps: maps
        return (lambda maps: maps.permute(0, 3, 1, 2)) if _is_grid(sides[0], sides[1], height, width) else None
    if before is not None and sides == tuple(before.flatten(2).shape[1:]):
        return partial(_in_a_row, before.shape[2])
    for prefix in range(min(9, sides[0])):
        rows = round(math.sqrt((sides[0] - prefix) * height / width))
        if rows and (sides[0] - prefix) % rows == 0 and _is_grid(rows, (sides[0] - prefix) // rows, height, width):
            return partial(_tokens, prefix, rows)
    return None


def _is_grid(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether so many rows and columns can be those of a map of an image."""
    if rows * columns < 2 or rows > height or columns > width:
        return False
    return rows == columns if height == width else abs(rows * width - columns * height) <= max(height, width)


def _in_a_row(rows: int, maps: Tensor) -> Tensor:
    """(N, C, h·w) → (N, C, h, w)."""
    return maps.unflatten(2, (rows, -1))


def _tokens(prefix: int, rows: int, tokens: Tensor) -> Tensor:
    """(N, prefix + h·w, C) → (N, C, h, w)."""
    return tokens[:, prefix:].transpose(1, 2).unflatten(2, (rows, -1))
