"Balanced batches: fair draws, repeatable epochs, several processes, and nothing but training is balanced."
import pickle
import random
from collections import Counter
from functools import partial
from itertools import chain

import numpy as np
import pytest

from fishlearn.data.folders import from_folder
from fishlearn.errors import ArgumentError
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.split import split_photos
from fishlearn.train.balance import (
    BALANCES,
    _batch_shape,
    _check_balance,
    _choose_balance,
    _count_batches,
    _draw,
    _loader_targets,
    _oversampled,
    _SamplingDL,
    balanced_batches,
    balanced_loader,
    batch_counts,
)
from fishlearn.train.loaders import decode_photos, species_loaders

TARGETS = np.repeat(range(5), [60, 30, 6, 3, 1])


@pytest.fixture(scope="module")
def fish(tmp_path_factory):
    "Split photos of nine species, from forty photos down to two, their store and classes."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=(40, 30, 20, 12, 8, 6, 4, 3, 2), size=48)
    photos, store = decode_photos(from_folder(folder), 32)
    photos = split_photos(photos, valid=0.)
    photos.loc[::5, "split"] = "valid"
    return photos, store, sorted(photos.label.unique())


@pytest.fixture
def plain(fish): return species_loaders(*fish, bs=16)


def epoch(dl, seed=None):
    "The class numbers of each batch of an epoch."
    if seed is not None: dl.rng = random.Random(seed)
    return [y.tolist() for _, y in dl]


def sizes(batch): return tuple(sorted(Counter(batch).values()))


def test_draw_repeats_nothing_while_others_wait():
    rng, waiting = random.Random(0), []
    hands = [_draw(waiting, list("abcde"), 3, rng) for _ in range(5)]
    assert [len(set(h)) for h in hands] == [3] * 5
    assert set(Counter(chain(*hands)).values()) == {3}
    assert sorted(_draw([], ["x", "y"], 4, rng)) == ["x", "x", "y", "y"]


def test_batches_are_balanced_and_species_take_turns():
    batches = balanced_batches(TARGETS, 3, 4, random.Random(0))
    assert len(batches) == round(100 / 12)
    assert {sizes(TARGETS[b].tolist()) for b in batches} == {(4, 4, 4)}
    turns = Counter(s for b in batches for s in set(TARGETS[b].tolist()))
    assert max(turns.values()) - min(turns.values()) <= 1


def test_different_photos_first():
    for b in balanced_batches(TARGETS, 5, 4, random.Random(1), n_batches=50):
        assert [len({p for p in b if TARGETS[p] == s}) for s in range(5)] == [4, 4, 4, 3, 1]
    seen = Counter(chain(*balanced_batches(TARGETS, 5, 4, random.Random(1), n_batches=15)))
    assert [{seen[p] for p in np.flatnonzero(TARGETS == s)} for s in (0, 1, 4)] == [{1}, {2}, {60}]


def test_seeds():
    draw = partial(balanced_batches, TARGETS, 3, 4)
    assert draw(random.Random(7)) == draw(random.Random(7)) != draw(random.Random(8))
    assert _oversampled(TARGETS, random.Random(0)) == _oversampled(TARGETS, random.Random(0))


def test_shapes():
    assert len(balanced_batches(TARGETS, 12, 4)[0]) == 5 * 4
    assert [len(b) for b in balanced_batches([0, 0, 1], 2, 8)] == [16]
    assert [_count_batches(100, 12, world) for world in (1, 2, 4, 32)] == [8, 8, 8, 32]
    assert (_batch_shape(5, 23), _batch_shape(32, 23, n_photos=2)) == ((2, 2), (16, 2))


def test_oversampling_is_even():
    order = _oversampled(TARGETS, random.Random(0))
    assert Counter(TARGETS[order].tolist()) == {s: 20 for s in range(5)}
    assert [len({p for p in order if TARGETS[p] == s}) for s in range(5)] == [20, 20, 6, 3, 1]
    uneven = Counter(TARGETS[_oversampled(TARGETS[:99], random.Random(0))].tolist())
    assert (sum(uneven.values()), max(uneven.values()) - min(uneven.values())) == (99, 1)


def test_balanced_loader(plain):
    dl = balanced_loader(plain.train, "batches")
    assert len(dl) == _count_batches(plain.train.n, 16)
    assert {sizes(y) for y in epoch(dl)} == {(4, 4, 4, 4)}
    assert epoch(dl, 7) == epoch(dl, 7) != epoch(dl)
    assert balanced_loader(plain.train, "logits") is plain.train


def test_only_training_is_balanced(plain, fish):
    dls = species_loaders(*fish, bs=16)
    dls.train, in_order = balanced_loader(dls.train, "batches"), _loader_targets(plain.train).tolist()
    assert in_order == [int(y) for y in plain.train_ds.tls[-1]]
    assert list(chain(*epoch(dls.train.new(shuffle=False, drop_last=False)))) == in_order
    assert sorted(chain(*epoch(dls.train.new(drop_last=False)))) == sorted(in_order)
    assert list(chain(*epoch(dls.test_dl(dls.train.items, with_labels=True)))) == in_order
    assert epoch(dls.valid) == epoch(plain.valid)


def test_pickle(plain, fish):
    dls = species_loaders(*fish, bs=16)
    dls.train = balanced_loader(dls.train, "batches")
    assert pickle.loads(pickle.dumps(dls.new_empty())).train.draw is None
    assert epoch(pickle.loads(pickle.dumps(dls.train)), 7) == epoch(dls.train, 7)


def test_several_processes(plain):
    "Every batch of every process is balanced, and all processes have equally many."
    distributed = pytest.importorskip("fastai.distributed")
    shared = balanced_loader(plain.train, "batches", world=3)
    drawn = shared.get_idxs()

    class OneProcess(distributed.DistributedDL):
        "Takes an order that was drawn before, instead of the first process's."
        def _broadcast(self, idxs, rank): return list(drawn)

    pieces = [epoch(OneProcess(shared, rank=i, world_size=3)) for i in range(3)]
    assert {len(p) for p in pieces} == {len(shared) // 3}
    assert {sizes(y) for y in chain(*pieces)} == {(4, 4, 4, 4)}
    assert list(chain(*chain(*pieces))) == _loader_targets(plain.train)[drawn].tolist()


def test_oversampling_loader(plain):
    even = balanced_loader(plain.train, "oversample")
    assert (even.n, len(even)) == (plain.train.n, len(plain.train))
    times = Counter(chain(*epoch(even.new(cls=_SamplingDL, draw=even.draw, drop_last=False))))
    assert max(times.values()) - min(times.values()) <= 1


def test_few_photos_make_one_batch(fish):
    photos, store, classes = fish
    few = species_loaders(photos.assign(split="train").groupby("label").head(2)[:6], store, classes, bs=64)
    assert [sizes(y) for y in epoch(balanced_loader(few.train, "batches", n_photos=8))] == [(3, 3)]


@pytest.mark.parametrize("balance", ["none", "batches"])
def test_counts_are_those_of_the_next_epoch(plain, balance):
    dl = balanced_loader(plain.train, balance)
    assert (batch_counts(dl, 5).to_numpy() == [np.bincount(y, minlength=9) for y in epoch(dl)[:5]]).all()


def test_choices():
    assert [b for b in BALANCES if _check_balance(b)] == list(BALANCES)
    assert _check_balance("auto", multilabel=True) == "auto"
    with pytest.raises(ArgumentError, match="needs one species per photo"): _check_balance("weights", multilabel=True)
    targets = [0, 0, 0, 1], [0, 0, 0, 0, 1], [[1, 1], [0, 1]]
    assert [_choose_balance(t)[0] for t in targets] == ["none", "logits", "none"]
