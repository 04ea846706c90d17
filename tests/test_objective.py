"""What a user is told of a run's scores, whatever its task."""

from repghost.objective import BOX_MAP, TOP1


def test_a_classifiers_scores_are_its_top_1_and_top_5():
    found = TOP1.words({"top1": 98.888, "top5": 100.0, "epochs": 3}, 2)
    assert found == "top-1 98.89 %  top-5 100.00 %"


def test_a_detectors_scores_are_those_it_has_and_a_dash_where_there_was_nothing_to_find():
    scores = {"map": 65.07, "ap50": 87.42, "ap75": None, "map_small": 1.0}
    assert BOX_MAP.words(scores, 1) == "box mAP 65.1 %  AP50 87.4 %  AP75 -"
