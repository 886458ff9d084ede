import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data_loading import BetonDataModule, DatasetWriter
from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.fields import IntField, RGBImageField
from data_loading.loading.loader import Loader
from drawn import Drawn, loss_of, small, trainer
from massrl.losses import feature_std
from massrl.methods import Supervised
from massrl.optim import lr_factor


@pytest.fixture
def digits(tmp_path):
    """A file of 30 generated images of 8 x 8 pixels, with labels from 0 to 9."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    fields = {"image": RGBImageField(), "label": IntField()}
    rows = [(image, i % 10) for i, image in enumerate(images)]
    DatasetWriter(tmp_path / "digits.beton", fields).from_indexed_dataset(rows, progress=False)
    return tmp_path / "digits.beton"


def prepared(views=1, **args):
    return small("Supervised", **args).train(), next(iter(Drawn(views)))


def test_the_loss_is_the_cross_entropy_of_a_linear_classifier_on_the_backbone():
    method, batch = prepared()
    logits = method.classifier(method.backbone(batch.views[0]))
    by_hand = -logits.log_softmax(1)[torch.arange(16), batch.labels].mean()
    torch.testing.assert_close(method.loss(batch), by_hand)


def test_several_views_are_the_mean_of_their_losses():
    method, batch = prepared(views=3)
    alone = [loss_of(method, Batch.from_views([view], batch.labels)) for view in batch.views]
    torch.testing.assert_close(method.loss(batch), sum(alone) / 3)


def test_label_smoothing_spreads_its_share_over_all_classes():
    method, batch = prepared(label_smoothing=0.2)
    log_p = method.classifier(method.backbone(batch.views[0])).log_softmax(1)
    target = 0.8 * F.one_hot(batch.labels, 4) + 0.2 / 4
    torch.testing.assert_close(method.loss(batch), -(target * log_p).sum(1).mean())


def test_a_mixed_batch_is_learnt_by_its_soft_labels():
    method, batch = prepared()
    mixed = batch.mix("Mixup", num_classes=4, seed=0)
    assert ((mixed.soft_labels > 0) & (mixed.soft_labels < 1)).any(), "images of two classes were mixed"
    log_p = method.classifier(method.backbone(mixed.views[0])).log_softmax(1)
    torch.testing.assert_close(method.loss(mixed), -(mixed.soft_labels * log_p).sum(1).mean())


def test_soft_labels_of_another_number_of_classes_are_refused():
    method, batch = prepared()
    with pytest.raises(ConfigError, match="num_classes is 4, and the soft labels of this batch have 6 classes"):
        method.check_batch(batch.mix("Mixup", num_classes=6, seed=0))
    method.check_batch(batch.mix("Mixup", num_classes=4, seed=0))


def test_a_label_beyond_the_classes_is_refused_before_the_first_step_with_the_number_to_set():
    with pytest.raises(ConfigError, match="num_classes is 3, and labels go up to 3; .*num_classes to 4 or more"):
        trainer().fit(small("Supervised", num_classes=3), Drawn(1))
    trainer().fit(small("Supervised", num_classes=4), Drawn(1, 1))


def test_a_label_of_the_file_that_is_not_in_the_first_batch_is_found_too(digits):
    rows = [i for i, label in enumerate(Loader(digits, 4, "eval").reader.labels) if label < 3]
    options = {"size": 8, "num_workers": 1, "order": "sequential"}
    few = Loader(digits, 2, "rrc", indices=rows[:4], **options)
    trainer().fit(small("Supervised", num_classes=3), few)  # its chosen rows count alone
    nine = int((few.reader.labels == 9).argmax())
    more = Loader(digits, 2, "rrc", indices=[*rows[:4], nine], **options)
    with pytest.raises(ConfigError, match="num_classes is 3, and labels go up to 9"):
        trainer().fit(small("Supervised", num_classes=3), more)


def test_data_without_labels_are_refused():
    with pytest.raises(ConfigError, match="Supervised needs labels, and these data have none"):
        trainer().fit(small("Supervised"), Drawn(1, labels=False))


@pytest.mark.parametrize(("name", "value"), [("num_classes", 1), ("label_smoothing", 1.0), ("label_smoothing", -0.1)])
def test_values_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is {value}"):
        small("Supervised", **{name: value})


def test_the_recipe_takes_a_tenth_of_the_rate_after_30_60_and_80_of_90_epochs():
    c = Supervised("tiny_resnet").optim
    rates = [c.base_lr * lr_factor(step, 90, 0, c.schedule, c.final_lr, c.milestones) for step in range(90)]
    expected = [0.1] * 30 + [0.01] * 30 + [1e-3] * 20 + [1e-4] * 10
    assert rates == pytest.approx(expected)
    assert (c.name, c.weight_decay, c.momentum) == ("sgd", 1e-4, 0.9)


def test_what_is_kept_is_the_backbone_and_z_std_is_of_its_features():
    method, batch = prepared()
    logged = {}
    method.log = lambda name, value, **_: logged.update({name: value})
    method.loss(batch)
    assert method.encoder is method.backbone
    torch.testing.assert_close(logged["z_std"], feature_std(method._features))
    hits = method.classifier(method._features).argmax(1) == batch.labels
    assert logged["accuracy"] == hits.float().mean()


@pytest.mark.parametrize("flip", [False, True])
def test_validation_counts_every_labelled_image_once_also_those_of_a_small_last_batch(digits, flip):
    method = small("Supervised", num_classes=10, eval_flip=flip)
    data = BetonDataModule(str(digits), val=str(digits), test=str(digits), size=8, batch_size=8, num_workers=1)
    (found,) = trainer().validate(method, data, verbose=False)
    views = torch.cat([batch.views[0][batch.valid] for batch in data.test_dataloader()])  # 30 images, 4 batches
    labels = torch.tensor([i % 10 for i in range(30)])
    method.eval()
    with torch.no_grad():
        logits = method.classifier(method.backbone(views))
        if flip:
            logits += method.classifier(method.backbone(views.flip(-1)))
    assert found["val_accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert "val_loss" in found and "accuracy" not in found
    (tested,) = trainer().test(method, data, verbose=False)
    assert tested["test_accuracy"] == found["val_accuracy"]
