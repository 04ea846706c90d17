"""RetinaNet's heads; what normalises them sees all levels of the pyramid at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetHead

Norm = Callable[[int], nn.Module] | None
DEPTH = 4  # convs in a tower


class Tower(nn.Module):
    """Convs that each level goes through: maps `(N, chs, H, W)` of any sizes -> such maps.

    All levels share a conv and what normalises it. In training its statistics are those of all
    levels together: of each alone, those of the last ones, of a few pixels, would weigh as much as
    the first's, and none would be what scoring then uses.
    """

    def __init__(self, chs: int, norm: Norm, std: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(chs, chs, 3, padding=1, bias=norm is None) for _ in range(DEPTH)
        )
        self.norms = nn.ModuleList(norm(chs) if norm else nn.Identity() for _ in range(DEPTH))
        for name, values in self.convs.named_parameters():
            nn.init.normal_(values, std=std) if "weight" in name else nn.init.zeros_(values)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        levels = list(levels)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            levels = normalised(norm, [conv(level) for level in levels])
            levels = [level.relu() for level in levels]
        return levels


def normalised(norm: nn.Module, levels: list[Tensor]) -> list[Tensor]:
    """Return what `norm` makes of maps of several sizes, in training as if they were one map."""
    if not norm.training or isinstance(norm, nn.Identity):
        return [norm(level) for level in levels]
    sizes = [level.shape[2:] for level in levels]
    whole = norm(torch.cat([level.flatten(2) for level in levels], 2).unsqueeze(-1))
    parts = whole.squeeze(-1).split([size.numel() for size in sizes], 2)
    return [part.unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]


class Heads(RetinaNetHead):  # type: ignore[misc]
    """torchvision's heads behind towers of ours; `std` is that of the towers' first weights."""

    def __init__(self, chs: int, anchors: int, classes: int, norm: Norm, std: float) -> None:
        super().__init__(chs, anchors, classes)
        self.classification_head.conv = self.regression_head.conv = nn.Identity()
        self.score_tower, self.box_tower = (Tower(chs, norm, std) for _ in range(2))

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        scores = self.classification_head(self.score_tower(x))
        return {"cls_logits": scores, "bbox_regression": self.regression_head(self.box_tower(x))}
