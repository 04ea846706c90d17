import subprocess
import sys

import pytest

from repghost.models.registry import MODELS, build, describe
from repghost.models.spec import ModelSpec


@pytest.mark.parametrize("name", MODELS)
def test_every_name_builds_and_describes(name):
    spec = ModelSpec(name=name)
    assert build(spec).training
    assert describe(spec) and "\n" not in describe(spec)


@pytest.mark.parametrize("door", [build, describe])
def test_unknown_name_is_refused_with_the_known_ones(door):
    with pytest.raises(ValueError, match=r"model\.name=repghostnot: allowed are repghostnet"):
        door(ModelSpec(name="repghostnot"))


def test_description_says_which_shortcuts_went():
    text = describe(ModelSpec(shortcut=False))
    assert "11 identity shortcuts removed, 5 that change shape kept" in text
    assert "shortcut" not in describe(ModelSpec())


@pytest.mark.parametrize("relu", ["after_dconv", "both"])
def test_description_says_when_the_sum_stays(relu):
    assert "the sum stays unfused" in describe(ModelSpec(relu=relu))
    assert "unfused" not in describe(ModelSpec(relu=relu, reparam="none"))
    assert "unfused" not in describe(ModelSpec())


def test_describing_imports_no_torch():
    code = (
        "import sys; from repghost.models.registry import describe;"
        "from repghost.models.spec import ModelSpec; describe(ModelSpec());"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
