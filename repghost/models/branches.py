"""Re-parameterisable blocks: what varies is a row of a table, and each offers its exact fusion."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from repghost.models.folding import (
    batchnorm_scale_shift,
    centred,
    depthwise_conv,
    folded,
    identity_kernel,
    kernel_bias,
)
from repghost.models.repghost_spec import RELU_POSITIONS

BRANCHES = {"bn": (None, True), "id": (None, False), "dconv": (1, True)}  # kernel (None: skip), BN?


class ConvBn(nn.Module):
    """Same-padded conv, BatchNorm and, if `relu`, a ReLU: (N, C, H, W) -> (N, C', H', W')."""

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_chs, out_chs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_chs)
        self.act = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y

    def fused(self) -> nn.Module:
        """Return the biased conv (and ReLU) equal to this in eval mode; self is left as it is."""
        conv = folded(self.conv, self.bn)
        return conv if isinstance(self.act, nn.Identity) else nn.Sequential(conv, relu())


class LinearBranch(nn.Module):
    """One row of a table of branches: depthwise conv or skip, then BatchNorm or nothing."""

    def __init__(self, chs: int, kernel_size: int | None, batchnorm: bool) -> None:
        super().__init__()
        self.chs = chs
        self.conv = (
            nn.Conv2d(chs, chs, kernel_size, padding=kernel_size // 2, groups=chs, bias=False)
            if kernel_size
            else None
        )
        self.bn = nn.BatchNorm2d(chs) if batchnorm else None

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.conv is None else self.conv(x)
        return x if self.bn is None else self.bn(x)

    def kernel_bias(self) -> tuple[Tensor, Tensor]:
        """Return depthwise kernel `(C, 1, k, k)` and bias `(C,)`, float64, of this branch."""
        if self.conv is not None:
            return kernel_bias(self.conv, self.bn)
        kernel = identity_kernel(self.chs)
        if self.bn is None:
            return kernel, kernel.new_zeros(self.chs)
        scale, shift = batchnorm_scale_shift(self.bn)
        return kernel * scale.reshape(-1, 1, 1, 1), shift


class KeptSum(nn.Module):
    """What fusion leaves where a ReLU stands before the add: relu(main(x)) + rest(x)."""

    def __init__(self, main: nn.Module, rest: nn.Module, outer_relu: bool) -> None:
        super().__init__()
        self.main, self.inner, self.rest = main, relu(), rest
        self.outer = relu() if outer_relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.outer(self.inner(self.main(x)) + self.rest(x))
        return y


class RepDepthwise(nn.Module):
    """Depthwise k x k conv + BatchNorm plus named linear branches, (N, C, H, W) -> the same.

    `relu` is where the ReLU stands: "after_add" relu(main + rest), "after_dconv" relu(main) + rest,
    "both" relu(relu(main) + rest), None for no ReLU. Without branches the three are one network.

    Raises:
        ValueError: an unknown or repeated branch, an even kernel, an unknown ReLU position.
    """

    def __init__(
        self, chs: int, branches: Sequence[str], kernel_size: int = 3, relu: str | None = None
    ) -> None:
        super().__init__()
        _check(branches, kernel_size, relu)
        rows = {"main": (kernel_size, True)} | {name: BRANCHES[name] for name in branches}
        self.branches = nn.ModuleDict({name: LinearBranch(chs, *row) for name, row in rows.items()})
        self.inner_relu = bool(branches) and relu in ("after_dconv", "both")
        self.outer_relu = relu is not None and (relu != "after_dconv" or not branches)

    def forward(self, x: Tensor) -> Tensor:
        main, *rest = self.branches.values()
        y: Tensor = main(x)
        y = y.relu_() if self.inner_relu else y
        for branch in rest:
            y = y + branch(x)
        return y.relu_() if self.outer_relu else y

    def fused(self) -> nn.Module:
        """Return the smallest equal of this module in eval mode; self is left as it is.

        That is one biased conv (and ReLU), or a `KeptSum` where a ReLU stands before the add.
        """
        if self.inner_relu:
            return self._kept_sum()
        conv = self._merged(self.branches)
        return nn.Sequential(conv, relu()) if self.outer_relu else conv

    def _kept_sum(self) -> KeptSum:
        rest = [name for name in self.branches if name != "main"]
        skip = nn.Identity() if rest == ["id"] else self._merged(rest)
        return KeptSum(self._merged(["main"]), skip, self.outer_relu)

    def _merged(self, names: Iterable[str]) -> nn.Conv2d:
        """Return the one biased depthwise conv equal to the sum of the named branches."""
        kernels, biases = zip(*(self._branch(name).kernel_bias() for name in names), strict=True)
        size = max(kernel.shape[-1] for kernel in kernels)
        kernel = torch.stack([centred(kernel, size) for kernel in kernels]).sum(0)
        main = self._branch("main").conv
        assert main is not None
        return depthwise_conv(kernel, torch.stack(biases).sum(0), like=main.weight)

    def _branch(self, name: str) -> LinearBranch:
        branch = self.branches[name]
        assert isinstance(branch, LinearBranch)
        return branch


def relu() -> nn.ReLU:
    """Return a new ReLU that works in place: it always follows a conv or a sum that we own."""
    return nn.ReLU(inplace=True)


def _check(branches: Sequence[str], kernel_size: int, relu: str | None) -> None:
    wrong = [name for name in branches if name not in BRANCHES or list(branches).count(name) > 1]
    if wrong:
        raise ValueError(
            f"branches={list(branches)}: {', '.join(wrong)} unknown or repeated;"
            f" allowed are {', '.join(BRANCHES)}, each at most once"
        )
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size}: must be odd and at least 1")
    if relu not in (None, *RELU_POSITIONS):
        raise ValueError(f"relu={relu}: allowed are None, {', '.join(RELU_POSITIONS)}")
