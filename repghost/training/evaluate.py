"""Top-1, top-5 and loss of a network over a stream of batches."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from repghost.training.batches import Batch
from repghost.training.ranks import ALONE, Ranks


@dataclass
class Scores:
    """Accuracies in percent and mean cross-entropy over `images`; files that could not be read.

    Of several processes each names the files that it could not read itself.
    """

    top1: float
    top5: float
    loss: float
    images: int
    skipped: list[str] = field(default_factory=list)


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Iterable[Batch], device: torch.device, ranks: Ranks = ALONE
) -> Scores:
    """Score `model` in eval mode; top-5 is over min(5, classes).

    With several `ranks` each gives its own rows, and all get the scores over every image, counted
    once: no batch is filled up.

    Raises:
        ValueError: not one image could be read.
    """
    model.eval()
    totals = torch.zeros(4, dtype=torch.float64, device=device)  # top-1, top-5, loss, images
    skipped = list[str]()
    for batch in batches:
        skipped += batch.skipped
        if len(batch.targets) == 0:
            continue
        targets = batch.targets.to(device)
        logits = model(batch.on(device)).float()
        best = logits.topk(min(5, logits.shape[1])).indices == targets[:, None]
        loss = functional.cross_entropy(logits, targets, reduction="sum")
        totals[:3] += torch.stack([best[:, 0].sum(), best.any(1).sum(), loss])
        totals[3] += len(targets)
    hits1, hits5, loss_sum, images = ranks.sum(totals.cpu()).tolist()
    if images == 0:
        raise ValueError(f"no validation image could be read ({len(skipped)} skipped)")
    top1, top5 = 100 * hits1 / images, 100 * hits5 / images
    return Scores(top1, top5, loss_sum / images, int(images), skipped)
