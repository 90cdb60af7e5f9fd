"""Soft attention over the last feature map (arXiv 2105.03358): each position gets a weight.

The articles describe one block and their released code computes another; both are here, by name.
"""

import torch
from torch import nn

from palpate.core.errors import InputError

VARIANTS = ("full", "released")
GAMMAS = (None, "fixed", "learned")
GAMMA_START = 0.01  # where a public port of the block starts its scale; Datta's own code has none
SMALLEST_MAP = 4  # below 4×4 the softmax is close to constant and attention cannot choose


class SoftAttention(nn.Module):
    """Soft attention of Datta et al. 2021 (arXiv 2105.03358): u = A ⊙ x, A the sum of `heads` spatial softmax maps.

    logits = conv(x) + b → ReLU → softmax over the h·w positions, per head → sum over heads = A, so that ΣA = heads for
    every image → u = A ⊙ x, times γ where there is one.

    Args:
        channels: channels C of the map.
        heads: number m of softmax maps, 16 in the article.
        variant: "full", the 3×3×C convolution that the articles describe; or "released", what the published code
            computes: its Conv3D kernel lies along (height, width, channel), so it is C tall, 3 wide and 3 channels deep:

            z[h, w, m] = b[m] + Σ_i Σ_{j=-1..1} Σ_{c=0..2} K[i − h + ⌊(C−1)/2⌋, j + 1, c, m] · x[i, w + j, c0 + c].
        gamma: None, no scale; "fixed", a constant .01; "learned", a parameter that starts at .01.
        window: first of the three channels c0 that "released" reads. None is ⌊(C−1)/2⌋ − 1 (1022 for C = 2048, 94 for
            C = 192), which TensorFlow's own CPU kernel computes; 0 is what the same layer computes with oneDNN (the
            default of TensorFlow's recent x86 builds) or compiled by XLA.
        relu: False gives the older copy of the code, without the ReLU before the softmax.

    Raises:
        InputError: an argument outside what is named above.

    >>> attention = SoftAttention(channels=8, heads=4)
    >>> x = torch.rand(2, 8, 5, 5)
    >>> attention(x).shape
    torch.Size([2, 8, 5, 5])
    >>> torch.allclose(attention.attention_map(x).sum((1, 2)), torch.tensor(4.0))
    True
    """

    def __init__(
        self,
        channels: int,
        heads: int = 16,
        variant: str = "full",
        gamma: str | None = None,
        window: int | None = None,
        relu: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise InputError(f"heads: expected at least 1 softmax map, got {heads}")
        if variant not in VARIANTS:
            raise InputError(f"attention variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
        if gamma not in GAMMAS:
            raise InputError(f"gamma: expected None, 'fixed' or 'learned', got {gamma!r}")
        if variant == "released" and channels < 3:
            raise InputError(f"attention 'released' reads three channels, but the map has {channels}; use 'full'")
        centre = (channels - 1) // 2 - 1
        self.window = (max(centre, 0) if window is None else window) if variant == "released" else None
        if self.window is not None and not 0 <= self.window <= channels - 3:
            raise InputError(f"window: expected a first channel in 0…{channels - 3}, got {window}")
        if variant == "full" and window is not None:
            raise InputError("window: only attention='released' has one; leave it out with 'full'")
        self.channels, self.heads, self.variant, self.relu = channels, heads, variant, relu
        shape = (heads, channels, 3, 3) if variant == "full" else (heads, 3, channels, 3)  # (m, c, tall, wide)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(heads))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")  # he-uniform: both shapes have fan-in 9C
        self.gamma: torch.Tensor | None
        if gamma == "learned":
            self.gamma = nn.Parameter(torch.tensor(GAMMA_START))
        else:
            self.register_buffer("gamma", torch.tensor(GAMMA_START) if gamma == "fixed" else None)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """What goes into the softmax, before the ReLU: (N, C, h, w) → (N, m, h, w)."""
        if self.window is None:
            return nn.functional.conv2d(x, self.weight, self.bias, padding=1)
        height = x.shape[-2]
        middle = (self.channels - 1) // 2
        # Only 2h − 1 of the C rows can meet an h tall map; rows beyond the kernel (h > C/2) are zero.
        first, last = middle - (height - 1), middle + height
        kernel = self.weight[:, :, max(first, 0) : min(last, self.channels)]
        kernel = nn.functional.pad(kernel, (0, 0, max(-first, 0), max(last - self.channels, 0)))
        read = x[:, self.window : self.window + 3]
        return nn.functional.conv2d(read, kernel, self.bias, padding=(height - 1, 1))

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """A, the weight of every position: (N, C, h, w) → (N, h, w), not negative, summing to `heads` per image."""
        z = self.logits(x)  # (N, m, h, w)
        z = z.relu() if self.relu else z
        return z.flatten(2).softmax(-1).sum(1).view(len(x), *x.shape[-2:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """u = A ⊙ x, times γ where there is one: (N, C, h, w) → (N, C, h, w)."""
        u = self.attention_map(x)[:, None] * x
        return u if self.gamma is None else self.gamma * u

    def extra_repr(self) -> str:
        return f"channels={self.channels}, heads={self.heads}, variant={self.variant!r}, window={self.window}"
