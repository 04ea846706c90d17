"""Expressions that leave combinations out: what they match, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from repghost.models.repghost_spec import GhostNetSpec, RepGhostNetSpec
from repghost.settings import Settings, settings_from
from repghost.sweep.space.exclude import Exclude

CONF = Path(__file__).parents[3] / "conf"
DEFAULT = Settings()


def composed(*overrides: str) -> Settings:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return settings_from(compose("config", list(overrides)))


def meets(expression: str, settings: Settings | None = DEFAULT, **given) -> bool:
    texts = {key.replace("__", "."): value for key, value in given.items()}
    return Exclude.parse([expression], texts).hits(texts, settings) == [expression]


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("model.width=0.5", True),
        ("model.width=0.50", True),
        ("model.width=5e-1", True),
        ("model.width=1", False),
        ("model.width=1,0.5", True),
        ("model.width!=0.5", False),
        ("model.width!=1,0.5", False),
        ("model.width!=1,2", True),
        ("model.width<0.5", False),
        ("model.width<=0.5", True),
        ("model.width>0.25", True),
        ("model.width>=0.51", False),
        ("model.shortcut=true", True),
        ("model.shortcut=True", True),
        ("model.shortcut=1", False),
        ("model.shortcut>0", False),
        ("seed=0", True),
        ("seed=false", False),
        ("model.module=null", True),
        ("model.module=NULL", True),
        ("model.module!=null", False),
        ("latency.max_ms<5", False),
        ("latency.max_ms=null", True),
        ("model.reparam='bn'", True),
        ('model.reparam="bn"', True),
        ("model.reparam=bn,id", True),
        ("latency.devices=local", True),
        ("latency.devices=phone", False),
        ("data.kind=digits recipe.epochs>1", True),
        ("data.kind=digits   recipe.epochs>8", False),
        ("data.kind=folder recipe.epochs>1", False),
        ("model=repghostnet", True),
        ("model=ghostnet", False),
    ],
)
def test_an_expression_is_compared_with_the_composed_settings(expression, holds):
    assert meets(expression) is holds


def test_a_letter_of_figure_3_is_matched_by_the_word_that_was_swept():
    settings = composed("model.module=c")
    assert settings.model.module is None, "the letter has been put in other words"
    assert meets("model.module=c", settings, model__module="c")
    assert meets("model.reparam=id", settings, model__module="c")
    assert not meets("model.module=c", settings)
    assert meets("model.module!=null", settings, model__module="c")
    assert not meets("model.module!=c", settings, model__module="c")


def test_another_spelling_of_one_network_is_matched_by_its_settings():
    settings = composed("model.reparam=dconv+bn")
    assert meets("model.reparam=bn+dconv", settings, model__reparam="dconv+bn")
    assert meets("model.reparam=dconv+bn", settings, model__reparam="dconv+bn")


def test_a_term_on_a_key_that_a_network_does_not_have_does_not_hold():
    settings = replace(DEFAULT, model=GhostNetSpec())
    for term in ("model.module=a", "model.module!=a", "model.ratio<9"):
        assert not meets(term, settings)
    assert meets("model=ghostnet model.width<=1", settings)


def test_a_group_is_matched_by_the_choice_that_was_given():
    assert meets("recipe=paper", recipe="paper")
    assert not meets("recipe=paper", recipe="quick")
    assert not meets("recipe=quick"), "nothing says which file the settings came from"


def test_what_is_given_can_decide_before_anything_is_composed():
    assert meets("seed=1 model.width>1", None, seed=1, model__width=2.0)
    assert not meets("seed=1 model.width>1", None, seed=1)
    assert not meets("seed!=1", None)
    assert meets("variant=thin", None, variant="thin")


def test_all_expressions_that_a_combination_meets_are_named():
    texts = ["seed=0", "model.width>3", "model.se=true"]
    assert Exclude.parse(texts).hits({}, DEFAULT) == ["seed=0", "model.se=true"]


def test_a_key_of_any_family_or_of_the_sweep_is_known():
    for expression in ("model.reuse=add", "model.size=large", "model.variant=b0", "storage.url=x"):
        Exclude.parse([expression])
    Exclude.parse(["own.key=1"], given=["own.key"])


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("model.modul=a", "unknown key model.modul; did you mean model.module"),
        ("own.key=1", "unknown key own.key"),
        ("model.module = a", "'model.module' is no comparison; write KEY OP VALUE"),
        ("model.module", "is no comparison"),
        ("model.module=", "is no comparison"),
        ("", "nothing in it"),
        ("model.width<wide", "< needs one number"),
        ("model.width>=1,2", ">= needs one number"),
        ("model.width>true", "> needs one number"),
    ],
)
def test_an_expression_that_cannot_be_is_refused_with_how_to_write_it(expression, said):
    with pytest.raises(ValueError) as caught:
        Exclude.parse([expression])
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"exclude {expression!r}: ")


def test_the_letter_a_stays_in_the_settings_and_is_matched_there():
    settings = replace(DEFAULT, model=RepGhostNetSpec(module="a"))
    assert meets("model.module=a", settings)
