"""Classifiers trained by gradient descent on labelled images: a head alone, or all of the network."""

BODY = ("body_lr", "layer_decay", "mixup", "cutmix", "drop_path")  # of no use where the encoder is frozen
