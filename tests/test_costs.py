import json
import subprocess
import sys

import pytest

from repghost.costs import costs, main
from repghost.models.paper import ENTRIES


def test_costs_are_a_json_object_a_line_in_the_order_asked_for(capsys):
    assert main(["repghostnet-0.5x", "shufflenetv2-0.5x"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        "name": "repghostnet-0.5x",
        "params": 2_302_956,
        "macs": 43_314_720,
        "training_params": 2_313_968,
    }
    assert lines[1]["name"] == "shufflenetv2-0.5x"


def test_each_is_yielded_before_the_next_is_built():
    found = costs(iter(["repghostnet-0.5x", "nothing"]))
    assert next(found)["name"] == "repghostnet-0.5x"
    with pytest.raises(KeyError, match="nothing"):
        next(found)


def test_branches_are_in_the_training_form_alone():
    d, e = costs(["module-d", "module-e"])
    assert (d["params"], d["macs"]) == (e["params"], e["macs"])
    assert d["training_params"] > e["training_params"] > e["params"]


def test_an_unknown_name_is_one_line_with_the_nearest_and_exit_code_2(capsys):
    assert main(["ghostnet-1.2x"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "ghostnet-1.2x: no network of the paper; nearest are ghostnet-1" in said.err


def test_the_module_is_a_command_that_explains_itself_without_torch():
    code = (
        "import sys; import repghost.costs as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "a JSON object a line" in " ".join(done.stdout.split())


def test_every_entry_has_a_name_that_a_shell_takes_as_it_is():
    assert all(name.replace("-", "").replace(".", "").isalnum() for name in ENTRIES)
