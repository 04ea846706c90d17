"""The bundled data set: scikit-learn's digits, enlarged."""

from collections.abc import Iterator

import torch
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.nn import functional

from repghost.training.batches import Batch, seed_everything, shuffled
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec

MEAN, STD = 0.3, 0.35  # of the pixels in [0, 1], about
SPLIT_SEED = 0  # one split for everybody: two tables of digits are comparable
VAL_SHARE = 360 / 1797
Split = tuple[Tensor, Tensor]  # images (N, C, H, W), class indices (N,)


class Digits:
    """scikit-learn's 1,797 digits, enlarged, in a fixed stratified split of 1,437 / 360."""

    def __init__(self, data: DataSpec, recipe: RecipeSpec, seed: int, rows: Rows = ALL) -> None:
        self._train, val = _splits(data)
        self._val = DigitsVal(data, rows, val)
        self._recipe, self._seed, self._rows = recipe, seed, rows
        count = len(self._train[1])
        self.batch_size = min(recipe.batch_size, count)
        self.steps = count // self.batch_size

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        images, targets = self._train
        order = shuffled(len(targets), self._seed, epoch)
        for step in range(start, self.steps):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            seed_everything(self._seed, epoch, step)
            yield _part(_augmented(images[rows], self._recipe), targets[rows], self._rows)

    def val(self) -> Iterator[Batch]:
        return iter(self._val)


class DigitsVal:
    """The validation digits once, unaugmented, in batches; `images` is how many there are."""

    batch_size = 256

    def __init__(self, data: DataSpec, rows: Rows = ALL, split: Split | None = None) -> None:
        self._split, self._rows = split or _splits(data)[1], rows
        self.images = len(self._split[1])

    def __iter__(self) -> Iterator[Batch]:
        parts = (torch.split(part, self.batch_size) for part in self._split)
        for images, targets in zip(*parts, strict=True):
            yield _part(images, targets, self._rows)


def _part(images: Tensor, targets: Tensor, rows: Rows) -> Batch:
    """Return a process's rows of a whole batch."""
    of_it = rows.of(len(targets))
    return Batch(images[of_it], targets[of_it])


def _splits(data: DataSpec) -> tuple[Split, Split]:
    """Return images and targets of training and of validation."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, val = train_test_split(
        range(len(digits.target)),
        test_size=VAL_SHARE,
        random_state=SPLIT_SEED,
        stratify=digits.target,
    )
    images = _enlarged(torch.tensor(digits.images, dtype=torch.float32), data)
    targets = torch.tensor(digits.target, dtype=torch.long)
    return (images[train], targets[train]), (images[val], targets[val])


def _enlarged(images: Tensor, data: DataSpec) -> Tensor:
    """(N, 8, 8) in 0..16 -> (N, in_chs, input_size, input_size), about zero mean, unit variance."""
    size = (data.input_size, data.input_size)
    images = functional.interpolate(images[:, None] / 16, size, mode="bilinear")
    return ((images - MEAN) / STD).expand(-1, data.in_chs, -1, -1).contiguous()


def _augmented(images: Tensor, recipe: RecipeSpec) -> Tensor:
    """Shift, flip and erase a batch with the global random state."""
    images = _shifted(images, recipe.shift_px) if recipe.shift_px else images
    flip = torch.rand(len(images)) < recipe.hflip
    images = torch.where(flip[:, None, None, None], images.flip(-1), images)
    erase = RandomErasing(probability=recipe.random_erasing, mode="pixel", device="cpu")
    erased: Tensor = erase(images)
    return erased


def _shifted(images: Tensor, most: int) -> Tensor:
    """Move each image by up to `most` pixels each way; the border is the background."""
    size = images.shape[-1]
    padded = functional.pad(images, (most,) * 4, value=float(images.min()))
    down, right = torch.randint(0, 2 * most + 1, (2, len(images)))
    reach = torch.arange(size)
    rows = (down[:, None] + reach)[:, None, :, None]
    columns = (right[:, None] + reach)[:, None, None, :]
    picked = torch.arange(len(images))[:, None, None, None]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return padded[picked, channels, rows, columns]
