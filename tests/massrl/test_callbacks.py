import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from data_loading.errors import ConfigError
from drawn import CLASSES, Drawn, SaveEachEpoch, same_state, small, trainer
from massrl.callbacks import OnlineKNN, OnlineLinear, Throughput
from massrl.nn import knn_vote


def fitted(callbacks, epochs=3, labels=True, **args):
    method = small("SimCLR")
    run = trainer(epochs, callbacks=callbacks, **args)
    run.fit(method, Drawn(2, labels=labels))
    return method, run


def drawn_features(n, seed):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return torch.randn(n, 6, generator=draw) + 3 * nn.functional.one_hot(labels, 6), labels


def test_the_online_knn_votes_as_scikit_learn_does():
    bank, labels = drawn_features(60, 0)
    queries, _ = drawn_features(20, 1)
    knn = OnlineKNN(bank_size=60, k=7, tau=0.1)
    knn.insert(bank, labels, torch.arange(60))
    unit = [nn.functional.normalize(x, dim=1).numpy() for x in (bank, queries)]
    oracle = KNeighborsClassifier(7, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1), algorithm="brute")
    expected = oracle.fit(unit[0], labels.numpy()).predict(unit[1])
    assert knn.predict(queries, torch.full((20,), -5)).tolist() == expected.tolist()


def test_another_view_of_the_image_itself_has_no_vote():
    knn = OnlineKNN(bank_size=3, k=1)
    knn.insert(torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0]]), torch.tensor([0, 1, 2]), torch.tensor([10, 11, 12]))
    query = torch.tensor([[1.0, 0.0]])
    assert knn.predict(query, torch.tensor([99])).item() == 0
    assert knn.predict(query, torch.tensor([10])).item() == 1


def test_the_ring_keeps_the_newest_samples():
    knn = OnlineKNN(bank_size=5, k=3)
    for first in (0, 3, 6):
        at = torch.arange(first, first + 3)
        knn.insert(at[:, None].float(), at, at)
    assert sorted(knn.labels.tolist()) == [4, 5, 6, 7, 8] and knn.filled == 5
    assert torch.equal(knn.features[:, 0].long(), knn.labels) and torch.equal(knn.index, knn.labels)
    knn.insert(torch.arange(10, 20)[:, None].float(), torch.arange(10, 20), torch.arange(10, 20))
    assert sorted(knn.labels.tolist()) == [15, 16, 17, 18, 19]


def test_probes_follow_the_features_and_are_shown_beside_the_loss():
    _, run = fitted([OnlineKNN(k=5), OnlineLinear(CLASSES, lr=0.05), Throughput()], epochs=12)
    shown = run.progress_bar_metrics
    assert {"loss", "knn", "linear", "images_per_s"} <= shown.keys()
    assert shown["knn"] > 0.6 and shown["linear"] > 0.6  # classes differ in brightness; chance is 1/4


def test_callbacks_change_no_weight_and_no_random_number():
    plain, _ = fitted([])
    state = torch.get_rng_state()
    watched, _ = fitted([OnlineKNN(k=5), OnlineLinear(CLASSES), Throughput()])
    assert same_state(plain, watched) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("make", "name"), [(lambda: OnlineKNN(), "knn"), (lambda: OnlineLinear(), "linear")])
def test_without_labels_a_probe_is_off_and_says_so_once(make, name, caplog):
    with caplog.at_level("INFO"):
        _, run = fitted([make()], labels=False)
    assert name not in run.callback_metrics
    assert sum(record.message.startswith("no labels: ") for record in caplog.records) == 1


def test_the_linear_probe_learns_a_separable_problem_from_zero_weights():
    probe, (x, labels) = OnlineLinear(lr=0.1), drawn_features(200, 0)
    probe.build(6, CLASSES, torch.device("cpu"))

    class Sink:
        def log(self, name, value, **_):
            self.value = float(value)

    sink, run = Sink(), type("Run", (), {"world_size": 1})()
    batch = next(iter(Drawn(1, 1, 200)))
    for _ in range(60):
        probe.on_train_batch_end(run, sink, {"features": x}, batch, 0)
    assert torch.equal(labels, batch.labels) and sink.value > 0.9


def test_the_state_of_the_linear_probe_is_in_the_checkpoint_and_resumes(tmp_path):
    whole, stopped, resumed = (OnlineLinear(CLASSES) for _ in range(3))
    fitted([whole], epochs=3)
    fitted([stopped, SaveEachEpoch(tmp_path)], epochs=3)
    trainer(3, callbacks=[resumed]).fit(small("SimCLR"), Drawn(2), ckpt_path=tmp_path / "0.ckpt", weights_only=True)
    assert same_state(whole.probe, resumed.probe)


def test_the_linear_probe_begins_anew_on_data_of_another_number_of_classes_and_says_so(caplog):
    before, after = OnlineLinear(CLASSES), OnlineLinear(CLASSES + 1)
    fitted([before])
    after.load_state_dict(before.state_dict())
    with caplog.at_level("INFO"):
        fitted([after])
    assert len(after.probe[1].weight) == CLASSES + 1
    assert "begins anew: 4 classes in the checkpoint, 5 here" in caplog.text


def test_the_linear_probe_asks_for_the_number_of_classes_where_the_loader_does_not_know_it():
    with pytest.raises(ConfigError, match="set classes"):
        fitted([OnlineLinear()])


def test_labels_that_are_numbers_of_images_turn_the_linear_probe_off_which_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr("massrl.callbacks.online_linear._classes", lambda _: 2**31)
    probe = OnlineLinear()
    with caplog.at_level("INFO"):
        _, run = fitted([probe])
    assert probe.probe is None and "linear" not in run.callback_metrics
    assert sum("the online linear probe is off" in record.message for record in caplog.records) == 1


def test_throughput_counts_images_and_leaves_out_the_first_steps_and_pauses(monkeypatch):
    clock = iter([0.0, 100.0, 101.0, 102.0, 500.0, 501.0])
    monkeypatch.setattr("massrl.callbacks.throughput.time.perf_counter", lambda: next(clock))

    class Sink:
        values = []

        def log(self, name, value, **_):
            self.values.append(value)

    sink, run, batch = Sink(), type("Run", (), {"world_size": 2})(), next(iter(Drawn(1, 1, 8)))
    meter = Throughput(skip=2)
    meter.on_fit_start()
    for step in range(6):
        if step == 4:
            meter.on_train_epoch_start()
        meter.on_train_batch_end(run, sink, None, batch, step)
    assert sink.values == pytest.approx([16.0] * 3)  # 8 images in each of 2 processes a second


@pytest.mark.parametrize("tau", [0.07, 0.005])
def test_votes_of_large_labels_and_a_small_tau(tau):
    bank, labels = drawn_features(60, 0)
    queries, _ = drawn_features(20, 1)
    excluded = torch.zeros(20, 60, dtype=torch.bool)
    plain = knn_vote(queries, bank, labels, excluded, 7, tau)
    large = torch.tensor([2**62, 5, 2**31, 7, 9, 1])[:CLASSES]
    assert torch.equal(knn_vote(queries, bank, large[labels], excluded, 7, tau), large[plain])
    similarity = nn.functional.normalize(queries, dim=1) @ nn.functional.normalize(bank, dim=1).T
    weights = torch.exp((similarity.double() - 1) / tau)
    top, at = weights.topk(7, dim=1)
    votes = torch.zeros(20, CLASSES, dtype=torch.double).scatter_add_(1, labels[at], top)
    assert torch.equal(plain, votes.argmax(1))


def test_rows_that_may_not_vote_have_none_even_where_none_is_left():
    bank, labels = torch.eye(3), torch.tensor([4, 5, 6])
    excluded = torch.tensor([[True, True, False], [True, True, True]])
    found = knn_vote(torch.eye(3)[:2], bank, labels, excluded, 3, 0.005)
    assert found[0] == 6 and found[1] in (4, 5, 6)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"tau": 0.0}, {"bank_size": 20}, {"window": 0}, {"every_n_steps": 0}])
def test_an_online_knn_that_could_never_log_is_refused(wrong):
    with pytest.raises(ConfigError, match="OnlineKNN"):
        OnlineKNN(**wrong)


def test_time_spent_in_validation_is_no_training_time():
    speed = Throughput(skip=0)
    speed.last = 1.0
    speed.on_validation_end()
    assert speed.last is None
