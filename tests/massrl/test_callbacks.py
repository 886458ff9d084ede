from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from data_loading.errors import ConfigError
from data_loading.loading.loader import Loader
from data_loading.sources import as_beton
from drawn import CLASSES, Drawn, SaveEachEpoch, same_state, small, trainer
from massrl.callbacks import OnlineKNN, OnlineLinear, Throughput
from massrl.callbacks.throughput import advice
from massrl.cli.samples import sample_folder
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

    facts = {"world_size": 2, "train_dataloader": None, "log_every_n_steps": 0}
    sink, run, batch = Sink(), type("Run", (), facts)(), next(iter(Drawn(1, 1, 8)))
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


def meter(loader, waits, threads=1, **facts):
    """Throughput after one step a second, in each of which `waits` seconds were spent waiting for the loader."""
    speed, logged = Throughput(skip=0), []
    run = SimpleNamespace(world_size=1, num_devices=1, train_dataloader=loader, log_every_n_steps=1, global_step=1)
    run.strategy = SimpleNamespace(root_device=torch.device(facts.get("device", "cpu")))
    module = SimpleNamespace(log=lambda name, value, **_: logged.append((name, value)), device=torch.device("cpu"))
    batch = next(iter(Drawn(1, 1, 8)))
    with pytest.MonkeyPatch.context() as patch:
        clock = iter(range(len(waits) + 1))
        patch.setattr("massrl.callbacks.throughput.time.perf_counter", lambda: next(clock))
        for wait in (0.0, *waits):
            loader.waited_s += wait
            speed.on_train_batch_end(run, module, None, batch, 0)
    return speed, logged


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    file = as_beton(sample_folder(tmp_path_factory.mktemp("images")), tmp_path_factory.mktemp("cache"))
    return Loader(file, 4, "simclr", size=16, num_workers=1)


def test_the_share_of_the_time_that_training_waits_for_data_is_logged(loader):
    _, logged = meter(loader, [0.5] * 4)
    assert [value for name, value in logged if name == "data_wait"] == pytest.approx([0.5] * 4)
    assert all(0 < value < 1000 for name, value in logged if name == "memory_gib")


def test_where_data_are_the_bottleneck_that_is_said_once_with_what_to_do(loader, caplog):
    few = [0.9] * 20 + [0.0] * 60  # as while a page cache is filled
    assert meter(loader, few)[0].advice is None and not caplog.records
    speed, _ = meter(loader, [0.5] * 150)
    assert [record.message for record in caplog.records] == [speed.advice]
    assert speed.advice.startswith("data are the bottleneck: 50% of the time goes into waiting for batches (data_wait)")


def test_the_advice_is_about_this_loader_and_this_machine(loader):
    assert "more threads: data.num_workers is 1, and a process has 8 cores" in advice(loader, 8, False)
    assert "more threads, if cores are idle: data.num_workers is 1" in advice(loader, 8, True)
    assert "more threads" not in advice(loader, 1, False)
    assert "share the cores" in advice(loader, 8, True) and "share the cores" not in advice(loader, 8, False)
    assert "--max_resolution 32" in advice(loader, 8, False)  # images of 48 pixels for views of 16
    assert f"`massrl data doctor {loader.reader.parts[0].path}`" in advice(loader, 8, False)


def test_time_spent_in_validation_is_no_training_time():
    speed = Throughput(skip=0)
    speed.last = 1.0, 0.0
    speed.on_validation_end()
    assert speed.last is None
