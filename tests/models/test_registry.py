import subprocess
import sys

import pytest

from repghost.models.paper import ENTRIES
from repghost.models.registry import FAMILIES, build, spec_class
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.models.spec import ModelSpec


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_describes_itself_and_knows_its_name(family):
    spec = spec_class(family)()
    assert spec.family == family
    assert spec.describe().startswith(spec.NAME) and "\n" not in spec.describe()


def test_every_family_but_timm_stands_in_the_papers_list():
    assert {entry.spec.family for entry in ENTRIES.values()} == set(FAMILIES) - {"timm"}


@pytest.mark.parametrize("door", [build, lambda spec: spec_class(spec.family)])
def test_unknown_family_is_refused_with_the_nearest_first(door):
    with pytest.raises(ValueError, match=r"model\.family=repghostnot: allowed are repghostnet, "):
        door(ModelSpec(family="repghostnot"))


def test_description_says_which_shortcuts_went():
    text = RepGhostNetSpec(shortcut=False).describe()
    assert "11 identity shortcuts removed, 5 that change shape kept" in text
    assert "shortcut" not in RepGhostNetSpec().describe()


@pytest.mark.parametrize("relu", ["after_dconv", "both"])
def test_description_says_when_the_sum_stays(relu):
    assert "the sum stays unfused" in RepGhostNetSpec(relu=relu).describe()
    assert "unfused" not in RepGhostNetSpec(relu=relu, reparam="none").describe()
    assert "unfused" not in RepGhostNetSpec().describe()


def test_planning_imports_no_torch():
    code = (
        "import sys; from repghost.models.paper import ENTRIES;"
        "[(entry.spec.describe(), entry.spec.check_input(32)) for entry in ENTRIES.values()];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
