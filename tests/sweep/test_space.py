"""From override strings to grid points and a study's name."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from repghost.settings import Settings
from repghost.sweep.space import check_study_name, parse_grid, study_name


def grid(*arguments: str):
    return parse_grid(OverridesParser.create().parse_overrides(list(arguments)))


def swept(*arguments: str) -> list[dict]:
    return [point.swept for point in grid(*arguments).points(lambda overrides: Settings())]


def test_the_product_of_all_swept_values_is_taken_last_key_fastest():
    assert swept("model.reparam=bn,dconv+bn", "seed=range(0,2)") == [
        {"model.reparam": "bn", "seed": 0},
        {"model.reparam": "bn", "seed": 1},
        {"model.reparam": "dconv+bn", "seed": 0},
        {"model.reparam": "dconv+bn", "seed": 1},
    ]


def test_values_keep_their_types():
    assert swept("model.width=choice(0.5,1)", "model.shortcut=true,false") == [
        {"model.width": width, "model.shortcut": shortcut}
        for width in (0.5, 1)
        for shortcut in (True, False)
    ]


def test_every_combination_is_composed_with_the_fixed_overrides():
    seen = []
    grid("model.reparam=bn,id", "recipe.epochs=2").points(
        lambda overrides: (seen.append(overrides), Settings())[1]
    )
    assert seen == [["recipe.epochs=2", f"model.reparam={branch}"] for branch in ("bn", "id")]


def test_a_doubled_value_is_one_point():
    assert len(swept("model.reparam=bn,bn,id")) == 2


def test_an_interval_is_refused_with_what_to_write_instead():
    with pytest.raises(ValueError, match=r"model\.width=interval\(0\.5,1\.0\).*choice"):
        grid("model.width=interval(0.5,1.0)")


def test_an_added_value_belongs_to_the_same_study():
    assert study_name(grid("model.reparam=bn,id")) == study_name(grid("model.reparam=bn,id,none"))


def test_runs_of_another_recipe_belong_to_another_study_but_the_protocol_does_not_matter():
    plain = study_name(grid("model.reparam=bn,id"))
    assert plain == "reparam"
    assert study_name(grid("model.reparam=bn,id", "recipe.epochs=2")) == "reparam_epochs=2"
    assert study_name(grid("model.reparam=bn,id", "latency.protocol=paper", "parallel=2")) == plain


@pytest.mark.parametrize("name", ["", "../up", "a/b", "runs", ".hidden", "a;b", "<script>"])
def test_a_study_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(ValueError, match="study="):
        check_study_name(name)
