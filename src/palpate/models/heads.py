"""From the feature map to logits: the four heads of arXiv 2210.14405 in one module.

Logits, never probabilities: an attack that is given probabilities applies the softmax twice and finds almost no gradient.
"""

import torch
from torch import nn


class Head(nn.Module):
    """A head of arXiv 2210.14405, for one of its two kinds of backbone, with or without soft attention.

    | | pooled (ResNet-50 and every other backbone) | flat (Inception-ResNet-v2) |
    |---|---|---|
    | without | average pool → dense | ReLU → dropout → flatten → dense |
    | with | pool2([x, u]) → ReLU → dropout → average pool → dense | pool2([x, u]) → ReLU → dropout → flatten → dense |

    pool2 is a 2×2 maximum with stride 2 that keeps an odd edge (7 → 4).

    Args:
        channels: channels of the map x.
        map_size: (h, w) of x; fixes the width of a flat head.
        num_classes: logits K.
        attention: whether forward also gets u.
        flat: flatten instead of pooling over space.
        dropout: probability; a pooled head without attention has none, as in the article.
    """

    def __init__(
        self,
        channels: int,
        map_size: tuple[int, int],
        num_classes: int,
        attention: bool,
        flat: bool,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.attention, self.flat = attention, flat
        self.dropout = nn.Dropout(dropout)
        height, width = map_size
        features = channels
        if attention:
            features, height, width = 2 * channels, -(-height // 2), -(-width // 2)
        if flat:
            features *= height * width
        self.dense = nn.Linear(features, num_classes)
        nn.init.xavier_uniform_(self.dense.weight)  # as in the article
        nn.init.zeros_(self.dense.bias)

    def forward(self, x: torch.Tensor, u: torch.Tensor | None = None) -> torch.Tensor:
        """Maps x and, with attention, u (N, C, h, w) → logits (N, K)."""
        if u is not None:
            x = torch.cat([x, u], 1)  # (N, 2C, h, w)
            x = nn.functional.max_pool2d(x, 2, ceil_mode=True)
        if self.attention or self.flat:
            x = self.dropout(x.relu())
        if self.flat:
            # In the order (h, w, C), as in the article's code, so that its dense layers can be copied.
            return self.dense(x.permute(0, 2, 3, 1).flatten(1))
        return self.dense(x.mean((2, 3)))
