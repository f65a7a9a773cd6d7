"Features and heads: the same numbers in any batch, by any engine and from the cache; fits against scikit-learn."
import numpy as np
import pytest
import torch
from fastcore.test import test_close as assert_close
from sklearn.linear_model import LogisticRegression

from fishlearn.cache import cache_table
from fishlearn.data.folders import from_folder
from fishlearn.errors import JobError
from fishlearn.models.backbones import MirrorNet
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.split import split_photos
from fishlearn.train import extraction
from fishlearn.train.extraction import _VIEWS, _extract_features, _fast_body, _features_engine, _four_views
from fishlearn.train.features import _fit_each, fit_linear, photo_features, photo_logits
from fishlearn.train.learner import species_learner
from fishlearn.train.loaders import _remaining_loaders, decode_photos, species_loaders


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    "Split photos of nine species, and their store."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=8, size=64)
    table, store = decode_photos(from_folder(folder), 64)
    return split_photos(table), store


@pytest.fixture
def learn(photos, monkeypatch, tmp_path):
    "A Learner with a new cache."
    monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / "cache"))
    table, store = photos
    return species_learner(species_loaders(table, store, sorted(table.label.unique())))


def test_views_keep_their_shape_and_direction():
    x = torch.arange(64.).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)
    assert [tuple(view(x).shape) for view in _VIEWS.values()] == [(1, 3, 8, 8)] * 5
    assert torch.equal(_VIEWS["flipped"](x).flip(3), x)
    assert all(_VIEWS[v](x).diff(dim=3).min() >= 0 for v in _four_views(flip=False))


def test_features_do_not_depend_on_the_batch(learn):
    body, items = _fast_body(learn, torch.float32), learn.dls.train.items
    alone, together = (_extract_features(learn, body, items[:n], ["whole", "flipped"]) for n in (1, 40))
    assert together.shape == (40, 2, 1280) and torch.equal(alone[0], together[0])


@pytest.mark.parametrize("pixels", [extraction._GRAPH_PIXELS, 1])
@pytest.mark.parametrize("dtype, close", [(torch.float32, .9999), (torch.bfloat16, .99)])
def test_engines_agree_with_the_network(learn, monkeypatch, pixels, dtype, close):
    monkeypatch.setattr(extraction, "_GRAPH_PIXELS", pixels)
    assert pixels == 1 or _features_engine(learn, dtype) == "torch"
    items = learn.dls.train.items[:8]
    with torch.inference_mode(): exact = learn.model[0].eval()(learn.dls.test_dl(items).one_batch()[0])
    features = _extract_features(learn, _fast_body(learn, dtype), items, ["whole"])[:, 0]
    assert torch.cosine_similarity(exact, features).min() > close


def test_kept_features_are_not_computed_again(learn, monkeypatch):
    items = learn.dls.train.items
    features, targets = photo_features(learn, items, dtype=torch.float32)
    assert features.shape == (4, len(items), 1280)
    assert [learn.dls.vocab[t] for t in targets] == items.label.tolist()
    kept = len(cache_table())
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_fast_body", None)
        assert torch.equal(photo_features(learn, items[::-1], dtype=torch.float32)[0], features.flip(1))
    assert len(cache_table()) == kept


def test_only_missing_features_are_computed(learn, monkeypatch):
    items, computed = learn.dls.train.items, []
    first = photo_features(learn, items[10:20], dtype=torch.float32).features
    compute = extraction._compute_features

    def counting(learn, body, items, views):
        computed.extend(items.path)
        return compute(learn, body, items, views)

    monkeypatch.setattr(extraction, "_compute_features", counting)
    again = photo_features(learn, items, dtype=torch.float32).features
    assert torch.equal(again[:, 10:20], first)
    assert computed == [p for p in items.path if p not in set(items.path[10:20])]


def test_another_body_has_other_features(learn):
    items = learn.dls.train.items[:8]
    before = photo_features(learn, items, dtype=torch.float32).features
    with torch.no_grad(): learn.model[0].conv_stem.weight[0, 0, 0, 0] += .5
    assert (photo_features(learn, items, dtype=torch.float32).features - before).abs().max() > 1e-3


def test_broken_photo(photos, tmp_path):
    "A photo that broke after it was decoded is an error in one sentence."
    table, _ = photos
    rows = table[table.split == "train"].head(3).copy()
    for i, p in zip(rows.index, rows.path, strict=True):
        (tmp_path / f"{i}.jpg").write_bytes(open(p, "rb").read())
    rows["path"] = [str(tmp_path / f"{i}.jpg") for i in rows.index]
    learn = species_learner(_remaining_loaders(rows, 64, sorted(table.label.unique())))
    (tmp_path / f"{rows.index[1]}.jpg").write_bytes(b"")
    with pytest.raises(JobError, match="1 of 3 photos can no longer be read"): photo_features(learn, rows)


@pytest.mark.parametrize("n", [2, 3])
def test_fit_agrees_with_scikit_learn(n):
    "With unbalanced classes, and one class without photos; two classes have half the penalty there."
    rng = np.random.default_rng(0)
    t = rng.choice(n, 90, p=[.8, *[.2 / (n - 1)] * (n - 1)])
    z = rng.normal(size=(90, 5)).astype(np.float32) + t[:, None].astype(np.float32)
    w, b = fit_linear(z, t, n_classes=n + 1, C=1, batch_size=40)
    sklearn = LogisticRegression(C=2 if n == 2 else 1, class_weight="balanced", tol=1e-8, max_iter=500).fit(z, t)
    assert_close(torch.tensor(z @ w.T + b).softmax(1)[:, :n], sklearn.predict_proba(z), eps=1e-3)
    assert (z @ w.T + b).argmax(1).max() < n


def test_a_species_on_every_photo_is_a_constant():
    z = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    both = np.stack([z[:, 0] > .5, z[:, 1] > .5, np.ones(90)], 1)
    w, b = _fit_each(z, both, C=10)
    assert ((z @ w.T + b > 0) == both).mean() > .95
    assert not w[2].any() and b[2] == 10


@pytest.mark.parametrize("mirror", [False, True])
def test_logits_are_those_of_the_network(learn, mirror):
    if mirror: learn.model = MirrorNet(*learn.model)
    x = learn.dls.valid.one_batch()[0]
    with torch.inference_mode(): expected = learn.model.eval()(x).as_subclass(torch.Tensor)
    assert_close(photo_logits(learn, learn.dls.valid.items)[:len(x)], expected.numpy(), eps=1e-3)
