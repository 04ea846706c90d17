"""From override strings to grid points, search spaces and a study's name."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from repghost.sweep.space.compose import Composer
from repghost.sweep.space.dimensions import Choice, Interval
from repghost.sweep.space.points import (
    SamplerSpec,
    Space,
    check_study_name,
    parse_grid,
    parse_space,
    study_name,
)

CONF = Path(__file__).parents[3] / "conf"


def parsed(*arguments: str):
    return OverridesParser.create().parse_overrides(list(arguments))


def grid(*arguments: str, **rest) -> Space:
    return parse_grid(parsed(*arguments), **rest)


def space(*arguments: str, **rest) -> Space:
    return parse_space(parsed(*arguments), **rest)


@pytest.fixture
def composer():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield Composer(lambda overrides: compose("config", overrides))


def test_the_product_of_all_swept_values_is_taken_last_key_fastest(composer):
    points = grid("model.reparam=bn,dconv+bn", "seed=range(0,2)").points(composer)
    assert [point.swept for point in points] == [
        {"model.reparam": "bn", "seed": 0},
        {"model.reparam": "bn", "seed": 1},
        {"model.reparam": "dconv+bn", "seed": 0},
        {"model.reparam": "dconv+bn", "seed": 1},
    ]


def test_values_keep_their_types(composer):
    points = grid("model.width=choice(0.5,1)", "model.shortcut=true,false").points(composer)
    found = [(p.swept["model.width"], p.swept["model.shortcut"]) for p in points]
    assert repr(found) == "[(0.5, True), (0.5, False), (1, True), (1, False)]"


def test_every_combination_is_composed_with_the_fixed_overrides(composer):
    points = grid("model.reparam=bn,id", "recipe.epochs=2").points(composer)
    assert [(p.settings.model.reparam, p.settings.recipe.epochs) for p in points] == [
        ("bn", 2),
        ("id", 2),
    ]


def test_of_one_key_given_twice_the_last_counts(composer):
    points = grid("seed=3,4", "seed=5").points(composer)
    assert [(p.swept, p.settings.seed) for p in points] == [({}, 5)]


def test_a_doubled_value_is_one_point(composer):
    assert len(grid("model.reparam=bn,bn,id").points(composer)) == 2


def test_named_variants_are_multiplied_with_what_is_swept(composer):
    variants = {"thin": "model.width=0.3", "ghost": "model=ghostnet model.reuse=add"}
    points = grid("seed=0,1", variants=variants).points(composer)
    assert [tuple(point.swept.values()) for point in points] == [
        ("thin", 0),
        ("thin", 1),
        ("ghost", 0),
        ("ghost", 1),
    ]
    assert [p.settings.model.family for p in points] == ["repghostnet"] * 2 + ["ghostnet"] * 2


def test_excluded_combinations_are_left_out_and_counted(composer):
    said = []
    words = ("model.module=a,c,d", "seed=0,1")
    exclude = ["model.module=a seed=1", "model.module=c", "model.width>3"]
    points = grid(*words, exclude=exclude).points(composer, said.append)
    assert [tuple(point.swept.values()) for point in points] == [("a", 0), ("d", 0), ("d", 1)]
    assert said == [
        "exclude leaves out 3 of 6 combinations",
        "exclude 'model.width>3': leaves out none of 6 combinations",
    ]


def test_a_combination_that_is_not_allowed_can_be_left_out(composer):
    words = ("model.module=null,b,c", "model.reparam=bn,dconv")
    with pytest.raises(ValueError, match=r"model\.module=b stands for"):
        grid(*words).points(composer)
    kept = grid(*words, exclude=["model.module!=null model.reparam=dconv"]).points(composer)
    assert len(kept) == 4


def test_excluding_everything_is_an_error(composer):
    with pytest.raises(ValueError, match="exclude leaves none of 2 combinations"):
        grid("seed=0,1", exclude=["seed<2"]).points(composer)


def test_an_interval_in_a_grid_is_refused_with_what_to_write_instead():
    with pytest.raises(ValueError, match=r"model\.width=interval\(0\.5,1\.0\).*choice.*search"):
        grid("model.width=interval(0.5,1.0)")


@pytest.mark.parametrize("override", ["n_trials=1,2", "study=a,b", "plan=true,false"])
def test_a_key_of_the_whole_sweep_cannot_be_swept(override):
    with pytest.raises(ValueError, match=f"{override}: .* one value"):
        grid(override)


@pytest.mark.parametrize(
    ("override", "dimension"),
    [
        ("seed=0,1", Choice("seed", [(0, "0"), (1, "1")])),
        ("seed=choice(2,1)", Choice("seed", [(2, "2"), (1, "1")])),
        ("seed=shuffle(2,1)", Choice("seed", [(2, "2"), (1, "1")])),
        ("recipe.lr=interval(0.1,1)", Interval("recipe.lr", 0.1, 1.0)),
        ("recipe.lr=tag(log,interval(1e-3,1))", Interval("recipe.lr", 0.001, 1.0, log=True)),
        ("seed=int(interval(1,9))", Interval("seed", 1, 9, integer=True)),
        ("seed=int(tag(log,interval(1,99)))", Interval("seed", 1, 99, log=True, integer=True)),
        ("seed=range(1,9,3)", Interval("seed", 1, 7, integer=True, step=3)),
        ("seed=range(9,1,-3)", Interval("seed", 3, 9, integer=True, step=3)),
        ("recipe.lr=range(0.1,0.7,0.2)", Interval("recipe.lr", 0.1, 0.5, step=0.2)),
        ("seed=float(range(0,2))", Interval("seed", 0.0, 1.0, step=1.0)),
    ],
)  # fmt: skip
def test_hydras_grammar_becomes_the_dimensions_of_a_search(override, dimension):
    (found,) = space(override).dimensions
    assert repr(found) == repr(dimension)


def test_a_glob_is_a_choice_of_a_groups_files():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = OverridesParser.create(config_loader=loader).parse_overrides(["model=glob(ghost*)"])
        (found,) = parse_space(words).dimensions
    assert found.values == [(name, name) for name in ("ghost_res50", "ghostnet")]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("recipe.lr=interval(1,0.1)", "low <= high"),
        ("recipe.lr=tag(log,interval(0,1))", "0 < low"),
        ("recipe.lr=tag(uniform,interval(0,1))", "the one tag is log"),
        ("recipe.lr=tag(log,choice(1,2))", "of an interval"),
        ("recipe.lr=tag(log,range(1,9))", "of an interval"),
        ("seed=range(3,3)", "no value in this range"),
        ("seed=range(0,3,0)", "no value in this range"),
        ("seed=interval(0,inf)", "low <= high"),
    ],
)
def test_a_dimension_that_cannot_be_searched_is_refused_by_name(override, said):
    with pytest.raises(ValueError) as caught:
        space(override)
    assert str(caught.value).startswith(override) and said in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["seed=0,1", "model.width=range(0.5,1.0,0.1)"], 10),
        (["seed=int(interval(1,9))"], 9),
        (["seed=0,1", "model.width=interval(0.5,1.0)"], None),
        ([], 1),
    ],
)
def test_the_size_of_a_space_is_its_number_of_combinations(arguments, size):
    assert space(*arguments).size == size


@pytest.mark.parametrize(
    ("dimension", "value", "text"),
    [
        (Interval("k", 0.1, 0.5, step=0.2), 0.30000000000000004, "0.3"),
        (Interval("k", 0.1, 0.5, step=0.2), 0.5000000000000001, "0.5"),
        (Interval("k", 1, 7, integer=True, step=3), 4.0, "4"),
        (Interval("k", 1, 7, integer=True), 4.0, "4"),
        (Interval("k", 1e-9, 1.0), 1e-9, "1e-09"),
        (Interval("k", 0.0, 2.0), 1, "1.0"),
        (Choice("k", [(True, "true"), (1, "1"), ("1", "'1'"), (None, "null")]), 1, "1"),
        (Choice("k", [(True, "true"), (1, "1"), ("1", "'1'"), (None, "null")]), "1", "'1'"),
        (Choice("k", [(True, "true"), (1, "1"), ("1", "'1'"), (None, "null")]), None, "null"),
        (Choice("k", [(True, "true"), (1, "1")]), True, "true"),
    ],
)
def test_a_suggested_value_becomes_an_overrides_text(dimension, value, text):
    assert dimension.text(value) == text


@pytest.mark.parametrize("value", [2.1, -0.1, "1", None, True])
def test_a_value_outside_its_dimension_is_refused(value):
    with pytest.raises(ValueError, match=r"k=.*: must be from 0\.0 to 2\.0"):
        Interval("k", 0.0, 2.0).text(value)
    with pytest.raises(ValueError, match=r"k=.*: allowed are a, b"):
        Choice("k", [("a", "a"), ("b", "b")]).text(value)


def test_every_value_of_a_stepped_dimension_is_a_short_decimal():
    values = [text for _, text in Interval("k", 0.5, 2.0, step=0.1).values]
    assert values == [f"{n / 10:.1f}" for n in range(5, 21)]


def test_a_point_of_a_search_is_composed_from_one_value_a_dimension(composer):
    found = space("model.reparam=bn,id", "model.width=interval(0.5,1)", "recipe.epochs=2")
    point = found.point({"model.reparam": "id", "model.width": 0.75}, composer)
    assert point is not None
    assert point.swept == {"model.reparam": "id", "model.width": 0.75}
    assert (point.settings.model.reparam, point.settings.model.width) == ("id", 0.75)
    assert point.settings.recipe.epochs == 2


def test_a_variant_of_a_search_is_chosen_by_its_name(composer):
    variants = {"1": "model=ghostnet", "two": "model.width=0.3"}
    found = space("seed=int(interval(0,9))", variants=variants)
    point = found.point({"variant": "1", "seed": 3}, composer)
    assert point is not None and point.swept == {"variant": "1", "seed": 3}
    assert (point.settings.model.family, point.settings.seed) == ("ghostnet", 3)


def test_an_excluded_suggestion_has_no_point(composer):
    found = space("model.width=interval(0.5,1)", exclude=["model.width>0.8"])
    assert found.point({"model.width": 0.9}, composer) is None
    assert found.point({"model.width": 0.7}, composer) is not None


def test_the_first_point_of_a_large_search_is_found_without_its_product(composer):
    keys = ("seed", "latency.max_rounds", "latency.batch_size", "max_requeues")
    found = parse_space(
        parsed(*(f"{key}=int(interval(1,100000))" for key in keys[:3]), "model.width=0.1,0.2"),
        exclude=["model.width=0.1"],
    )
    assert found.size == 2 * 10**15
    assert found.first(composer).settings.model.width == 0.2


def test_the_first_point_of_a_search_may_lie_inside_its_intervals(composer):
    words = ("model.width=interval(0.5,2)", "seed=int(interval(0,1000))", "recipe.lr=range(1,4)")
    exclude = ["model.width<0.6", "model.width>1.9", "seed<300", "recipe.lr!=2"]
    point = space(*words, exclude=exclude).first(composer)
    assert 0.6 <= point.settings.model.width <= 1.9 and point.settings.seed >= 300
    assert point.settings.recipe.lr == 2


def test_a_search_of_which_nothing_is_left_says_so(composer):
    with pytest.raises(ValueError, match="exclude leaves none"):
        space("model.width=interval(0.5,2)", exclude=["model.width>0"]).first(composer)


def test_an_interval_of_a_whole_number_says_how_to_write_it(composer):
    with pytest.raises(ValueError, match=r"recipe\.batch_size: .*Integer; .*int\(interval\("):
        space("recipe.batch_size=interval(16,64)").first(composer)
    assert space("recipe.batch_size=int(interval(16,64))").first(composer)


def test_a_point_of_a_batch_size_is_a_row_of_its_own_and_one_run(composer):
    one, two = grid("latency.batch_size=1,8").points(composer)
    assert one.key == two.key == one.settings.variant.key
    assert (one.row, two.row) == (
        f"{one.key} latency.batch_size=1",
        f"{one.key} latency.batch_size=8",
    )


def test_an_added_value_belongs_to_the_same_study():
    assert study_name(grid("model.reparam=bn,id")) == study_name(grid("model.reparam=bn,id,none"))


def test_runs_of_another_recipe_belong_to_another_study_but_the_protocol_does_not_matter():
    plain = study_name(grid("model.reparam=bn,id"))
    assert plain == "reparam"
    assert study_name(grid("model.reparam=bn,id", "recipe.epochs=2")) == "reparam_epochs=2"
    assert study_name(grid("model.reparam=bn,id", "latency.protocol=paper", "parallel=2")) == plain
    assert study_name(grid("model.reparam=bn,id", variants={"a": "seed=0"})) == plain


@pytest.mark.parametrize("name", ["", "../up", "a/b", "runs", ".hidden", "a;b", "<script>"])
def test_a_study_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(ValueError, match="study="):
        check_study_name(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grid", 0), "hydra.sweeper.sampler=grid: allowed are tpe, nsga2, random"),
        (("tpe", -1), "hydra.sweeper.seed=-1: must be a whole number"),
        (("tpe", "x"), "hydra.sweeper.seed=x: must be a whole number"),
        (("tpe", True), "hydra.sweeper.seed=True: must be a whole number"),
    ],
)
def test_an_unknown_sampler_or_seed_is_refused_with_the_known_ones(arguments, said):
    with pytest.raises(ValueError, match=said):
        SamplerSpec(*arguments)
