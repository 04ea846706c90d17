"""What to say when a batch does not fit into memory: how many images would."""

from collections.abc import Callable

import torch

PROBES = (8, 4)  # parts of the batch that are tried to see what an image takes
SPARE = 0.95  # of the memory: the rest is lost between tensors
STEP = 8  # images; batch sizes are said in such steps


class OutOfMemory(ValueError):
    """A batch does not fit; the message says how many images would."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` says that there was no memory, on a GPU or here."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def out_of_memory(batch_size: int, world: int, fitting: int, device: torch.device) -> OutOfMemory:
    """Return the error for a batch of which `fitting` images would fit into each process."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "this machine"
    best = fitting * world
    processes = f" in {world} processes" if world > 1 else ""
    advice = f"recipe.batch_size={best} would fit" if best else "not even a small batch fits"
    return OutOfMemory(
        f"out of memory on {where} with recipe.batch_size={batch_size}{processes}: {advice}"
    )


def fitting_images(images: int, probe: Callable[[int], None], device: torch.device) -> int:
    """Return how many of `images` fit into this process, 0 where that cannot be seen.

    On a GPU `probe(n)`, a step without its end, is tried on a few and what it takes is measured.
    Elsewhere memory is not told of beforehand: half of the images is worth a try.
    """
    if device.type != "cuda":
        return images // 2
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    measured = []
    for count in (max(2, images // part) for part in PROBES):
        torch.cuda.reset_peak_memory_stats(device)
        try:
            probe(count)
        except torch.OutOfMemoryError:
            break
        measured.append((count, torch.cuda.max_memory_allocated(device)))
    return fitting(measured, int(SPARE * free), images)


def fitting(measured: list[tuple[int, int]], limit: int, failed: int) -> int:
    """Return how many images take at most `limit` bytes, by the line through two measurements.

    Fewer than the `failed` ones in any case. With one measurement it is that many images, with none
    0.
    """
    if len(measured) < 2:
        return measured[0][0] if measured else 0
    (few, low), (more, high) = measured
    an_image = (high - low) / max(more - few, 1)
    most = few + (limit - low) / an_image if an_image > 0 else few
    most = min(most, failed - 1)
    return int(most) // STEP * STEP if most >= STEP else int(most)
