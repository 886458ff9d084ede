import socket

import numpy as np
import pytest
import torch

from data_loading import DatasetWriter
from data_loading.fields import IntField, RGBImageField
from massrl.bench.cases import CASES
from massrl.bench.conformance import of_processes
from massrl.distributed import gather, rank, world_size
from massrl.methods import METHODS
from two_processes import IMAGES, SIZE, WORLD, normalising, probing, trained, validated, work


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes found, started once for all tests here."""
    out = tmp_path_factory.mktemp("ranks")
    images = [(np.zeros((8, 8, 3), np.uint8), 0)] * 7
    fields = {"image": RGBImageField(), "label": IntField()}
    DatasetWriter(out / "images.beton", fields).from_indexed_dataset(images, progress=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return of_processes(work, (list(METHODS), port, out), out)


def test_in_one_process_gathering_does_nothing():
    z = torch.ones(2, 3, 4)
    assert gather(z) is z and (rank(), world_size()) == (0, 1)


def test_gathered_embeddings_stand_in_the_order_view_rank_image(ranks):
    for found in ranks:
        assert torch.equal(found["order"].flatten(), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert [found["place"] for found in ranks] == [(0, 2), (1, 2)]


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_mean_over_ranks_has_the_value_and_the_gradient_of_one_process(ranks, name):
    case = CASES[name]
    value, grads = case.measure(case.loss, case.inputs(*SIZE))
    parts = [found["losses"][name] for found in ranks]
    torch.testing.assert_close(sum(v for v, _ in parts) / WORLD, value, **case.tolerance)
    for key in case.learns:
        mine = [g[key] for _, g in parts]
        whole = torch.cat(mine, case.split[key]) if key in case.split else sum(mine)
        torch.testing.assert_close(whole / WORLD, grads[key], **case.tolerance)  # DDP divides by WORLD


def test_shuffled_batch_normalisation_sees_images_of_both_processes_and_gives_each_its_own_back(ranks):
    """MoCo, sec. 3.3: each process normalises half of the drawn order; the outputs return to their images."""
    order = torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(7))
    expected = torch.empty(len(IMAGES), 4)
    with torch.no_grad():
        for half in order.chunk(WORLD):
            expected[half] = normalising()(IMAGES[half])
        unshuffled = torch.cat([normalising()(part) for part in IMAGES.chunk(WORLD)])
    found = torch.cat([found["shuffled"] for found in ranks])
    torch.testing.assert_close(found, expected)
    assert (found - unshuffled).abs().max() > 1e-3
    assert set(order[:4].tolist()) != {0, 1, 2, 3}


def test_gradients_of_a_module_of_ones_own_are_averaged(ranks):
    assert all(found["average"].item() == 0.5 for found in ranks)  # inputs 0 and 1


@pytest.mark.parametrize("name", METHODS)
def test_three_steps_of_two_processes_equal_three_steps_of_one(ranks, name):
    one = trained(name)
    for key, value in one.items():
        a, b = (found["methods"][name][key] for found in ranks)
        assert torch.equal(a, b), key
        # float32 sums in another order; atol for values that cross 0
        torch.testing.assert_close(a, value, rtol=1e-4, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")


def test_two_processes_log_the_validation_of_one(ranks):
    one = validated()
    for found in ranks:
        for key in ("val_loss", "val_knn"):  # z_std is of the images of a process
            assert found["validated"][key] == pytest.approx(one[key], rel=1e-4)  # float32 sums in another order
    a, b = (found["validated"]["val_linear"] for found in ranks)
    assert a == b and 0 <= a <= 1  # not that of one process: each normalises by its own images


def test_what_one_process_sees_sounds_the_alarm_of_all_and_stops_them_in_the_same_step(ranks):
    for alarm, steps in (found["alarmed"] for found in ranks):
        assert alarm.startswith("alarm at step 1, epoch 1: the loss is nan") and steps == 1


def test_probes_of_processes_with_labels_of_different_images_log_the_same_and_learn_together(tmp_path):
    first, second = of_processes(probing, (tmp_path,), tmp_path)
    assert torch.equal(first["weight"], second["weight"]) and first["weight"].abs().max() > 0.1
    assert first["logged"] == second["logged"]
    linear, knn = first["logged"]["linear"], first["logged"]["knn"]
    assert len(linear) == 5 and linear[0] == 0.25 and linear[-1] >= 0.75  # one step has no labels; zeros say class 0
    assert len(knn) == 4 and knn[-1] >= 0.75  # from the step on that finds k labelled images in the ring of one of them


def test_a_loss_of_one_process_that_is_not_finite_ends_a_dense_training_on_both(ranks):
    assert [found["refused"][:35] for found in ranks] == ["the loss is nan at step 0; lower lr"] * 2


def test_features_are_of_all_images_on_each_process(ranks):
    assert [found["features"] for found in ranks] == [list(range(7))] * 2
