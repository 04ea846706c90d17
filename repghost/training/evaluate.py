"""Top-1, top-5 and loss of a network over a stream of batches."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from repghost.training.batches import Batch


@dataclass
class Scores:
    """Accuracies in percent and mean cross-entropy over `images`; files that could not be read."""

    top1: float
    top5: float
    loss: float
    images: int
    skipped: list[str] = field(default_factory=list)


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[Batch], device: torch.device) -> Scores:
    """Score `model` in eval mode; top-5 is over min(5, classes).

    Raises:
        ValueError: not one image could be read.
    """
    model.eval()
    hits = torch.zeros(2, dtype=torch.float64)
    loss, images, skipped = 0.0, 0, list[str]()
    for batch in batches:
        skipped += batch.skipped
        if len(batch.targets) == 0:
            continue
        targets = batch.targets.to(device)
        logits = model(batch.on(device)).float()
        best = logits.topk(min(5, logits.shape[1])).indices == targets[:, None]
        hits += torch.stack([best[:, 0].sum(), best.any(1).sum()]).cpu()
        loss += float(functional.cross_entropy(logits, targets, reduction="sum"))
        images += len(targets)
    if images == 0:
        raise ValueError(f"no validation image could be read ({len(skipped)} skipped)")
    top1, top5 = (100 * hits / images).tolist()
    return Scores(top1, top5, loss / images, images, skipped)
