"Scores of evaluations beside scikit-learn's, on random answers."
import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
)

from fishlearn.errors import ArgumentError
from fishlearn.evaluation.interpret import Evaluation, photo_sheet
from fishlearn.evaluation.multilabel import MultilabelEvaluation


@pytest.mark.parametrize("seed", range(20))
def test_scores_of_uneven_species_with_one_missing(seed):
    rng = np.random.default_rng(seed)
    p, t = rng.dirichlet(np.ones(6), 50), rng.choice(5, 50, p=[.5, .3, .1, .06, .04])
    e = Evaluation(p, t, list("uvwxyz"), ["p"] * 50)
    m, present = e.metrics(), np.unique(t)
    assert m["balanced_accuracy"] == pytest.approx(np.mean([(e.predicted[t == k] == k).mean() for k in present]))
    assert m["macro_f1"] == pytest.approx(f1_score(t, e.predicted, labels=present, average="macro"))


@pytest.mark.parametrize("seed", range(5))
def test_table_per_species(seed):
    rng = np.random.default_rng(seed)
    e = Evaluation(rng.dirichlet(np.ones(4), 30), rng.integers(0, 4, 30), list("abcd"), ["p"] * 30)
    columns = precision_recall_fscore_support(e.targets, e.predicted, labels=range(4), zero_division=0)
    table = e.per_species()
    for name, expected in zip(("precision", "recall", "f1", "support"), columns):
        assert table[name].tolist() == expected.tolist()
    assert (table.recall_low <= table.recall).all() and (table.recall <= table.recall_high).all()


@pytest.mark.parametrize("n", (20, 200))
def test_scores_of_several_species_per_photo(n):
    rng = np.random.default_rng(0)
    t, p = rng.integers(0, 2, (n, 5)), rng.random((n, 5))
    m = MultilabelEvaluation(p, t, list("vwxyz"), ["p"] * n).metrics()
    balanced = [balanced_accuracy_score(t[:, i], p[:, i] >= .5) for i in range(5)]
    assert m["macro_f1"] == pytest.approx(f1_score(t, p >= .5, average="macro"))
    assert m["balanced_accuracy"] == pytest.approx(np.mean(balanced))
    assert m["mean_average_precision"] == pytest.approx(average_precision_score(t, p, average="macro"))
    assert m["accuracy"] == pytest.approx(accuracy_score(t, p >= .5))


def test_metrics_have_the_same_keys_in_the_same_order():
    single = Evaluation([[.9, .1]], [0], ["cod", "ling"], ["a"]).metrics()
    several = MultilabelEvaluation([[.9, .1]], [[1, 0]], ["cod", "ling"], ["a"]).metrics()
    assert list(single) == ["n", "accuracy", "accuracy_ci", "balanced_accuracy", "macro_f1", "ece", "per_species"]
    assert list(several) == [*list(single)[:5], "mean_average_precision", *list(single)[5:]]
    assert list(single["per_species"]["cod"]) == ["precision", "recall", "f1", "support", "recall_ci"]


@pytest.mark.parametrize("kind", (Evaluation, MultilabelEvaluation))
def test_no_photo_is_refused(kind):
    with pytest.raises(ArgumentError, match="no photo to evaluate"): kind(np.zeros((0, 2)), [], ["cod", "ling"], [])


def test_a_sheet_without_photos_is_empty():
    assert len(photo_sheet([], []).axes) == 5
