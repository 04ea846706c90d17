"""What a detector descends and is scored by: torchvision's losses, COCO's average precision."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from repghost.detection.annotations import Instances
from repghost.detection.augment import Target
from repghost.detection.networks import first_label
from repghost.detection.scores import Averages, Detection, average_precision, encoded
from repghost.detection.source import DetectionBatch
from repghost.detection.spec import TaskSpec
from repghost.training.goal import Scored
from repghost.training.ranks import Ranks

MASK_THRESHOLD = 0.5  # of a pixel's probability: above, it belongs to the object


class DetectorGoal:
    """The sum of a detector's losses; the average precision of its boxes, and of its masks.

    `truth` is what validation looks for; `latest` what was scored last, on the first process alone.
    """

    least_images = 1

    def __init__(self, task: TaskSpec, truth: Instances) -> None:
        self._first, self.truth, self.draws_masks = first_label(task), truth, task.masks
        self.latest: Averages | None = None
        self._kinds = ("bbox", "segm") if task.masks else ("bbox",)

    def loss(
        self,
        forward: Callable[..., Any],
        batch: DetectionBatch,
        device: torch.device,
        precision: AbstractContextManager[Any],
    ) -> Tensor:
        """As `Goal.loss`."""
        targets = [self._on(device, target) for target in batch.targets]
        images = batch.on(device)
        with precision:
            losses: dict[str, Tensor] = forward(images, targets)
            return torch.stack([loss.float() for loss in losses.values()]).sum()

    def scored(
        self,
        model: nn.Module,
        batches: Iterable[DetectionBatch],
        device: torch.device,
        ranks: Ranks,
    ) -> Scored:
        """As `Goal.scored`; what is in a file that cannot be read counts as not found."""
        skipped, found = list[str](), list[Detection]()
        for batch in batches:
            skipped += batch.skipped
            found += self.detections(model, batch, device)
        together = [one for some in ranks.of_all(found) for one in some]
        self.latest = self.averages(together) if ranks.leads else None
        scores = self.latest.scores if self.latest else {}
        return Scored(ranks.from_first(scores), skipped)

    def averages(self, found: list[Detection]) -> Averages:
        """Score detections of the validation images."""
        return average_precision(self.truth.file, found, self._kinds)

    @torch.inference_mode()
    def detections(
        self, model: nn.Module, batch: DetectionBatch, device: torch.device
    ) -> list[Detection]:
        """Return what a detector finds on the images of a batch, as COCO's results have it."""
        if not batch.images:
            return []
        outputs = model.eval()(batch.on(device))
        rows = zip(batch.targets, outputs, strict=True)
        return [one for target, output in rows for one in self._lines(target, output)]

    def _on(self, device: torch.device, target: Target) -> Target:
        wanted = {name: one for name, one in target.items() if name != "image_id"}
        there = {name: one.to(device, non_blocking=True) for name, one in wanted.items()}
        return there | {"labels": there["labels"] + self._first}

    def _lines(self, target: Target, output: dict[str, Tensor]) -> Iterable[Detection]:
        boxes = box_convert(output["boxes"], "xyxy", "xywh").tolist()
        labels = (output["labels"] - self._first).tolist()
        image_id = int(target["image_id"])
        masks = None
        if "masks" in output:
            masks = (output["masks"][:, 0] > MASK_THRESHOLD).to(torch.uint8).cpu().numpy()
        for i, (box, label, score) in enumerate(
            zip(boxes, labels, output["scores"].tolist(), strict=True)
        ):
            line = {"image_id": image_id, "bbox": box, "score": score}
            line["category_id"] = self.truth.category_ids[label]
            if masks is not None:
                line["segmentation"] = encoded(masks[i])
            yield line
