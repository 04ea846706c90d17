"""The learning rate over a run, on timm's schedulers."""

from typing import Any

from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler
from torch.optim import Optimizer

from repghost.training.spec import RecipeSpec

FALL = 0.1  # of the learning rate at a milestone


def schedule_of(
    optimizer: Optimizer, recipe: RecipeSpec, steps: int
) -> CosineLRScheduler | MultiStepLRScheduler:
    """Cosine to `min_lr` over the whole run, or a tenth after each milestone, behind a warm-up.

    Counted in steps or, as in the paper, in epochs.
    """
    per = steps if recipe.schedule_per_step else 1
    around: dict[str, Any] = {
        "warmup_t": min(round(recipe.warmup_epochs * per), recipe.epochs * per - 1),
        "warmup_lr_init": recipe.warmup_lr,
        "t_in_epochs": not recipe.schedule_per_step,
    }
    if recipe.falls_after:  # timm's falls one before the number that it is given
        falls = [epoch * per + 1 for epoch in recipe.falls_after]
        return MultiStepLRScheduler(
            optimizer, falls, decay_rate=FALL, warmup_prefix=False, **around
        )
    return CosineLRScheduler(
        optimizer, t_initial=recipe.epochs * per, lr_min=recipe.min_lr, **around
    )
