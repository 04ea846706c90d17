import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def two_threads():
    """Two cores are shared with other work: more threads than cores make these tests slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)
