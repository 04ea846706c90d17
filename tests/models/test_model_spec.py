import pytest

from repghost.models.branches import BRANCHES
from repghost.models.repghost_spec import BRANCH_NAMES, RepGhostNetSpec, parse_branches


def test_names_of_branches_are_those_of_the_table():
    assert tuple(BRANCHES) == BRANCH_NAMES


def test_order_of_branches_does_not_matter():
    assert RepGhostNetSpec(reparam="dconv+id+bn") == RepGhostNetSpec(reparam="bn+id+dconv")
    assert parse_branches("none") == ()


@pytest.mark.parametrize("reparam", ["bn+foo", "", "bn+bn", "none+bn", "BN", "bn+"])
def test_unknown_branch_is_refused_with_the_allowed_ones(reparam):
    with pytest.raises(ValueError, match=r"model\.reparam=.*bn, id, dconv"):
        RepGhostNetSpec(reparam=reparam)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["width", "ratio", "num_classes", "in_chs"])
def test_sizes_must_be_positive_numbers(name, value):
    with pytest.raises(ValueError, match=f"model.{name}="):
        RepGhostNetSpec(**{name: value})


def test_unknown_relu_position_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"model\.relu=before: RepGhostNet allows after_add"):
        RepGhostNetSpec(relu="before")
