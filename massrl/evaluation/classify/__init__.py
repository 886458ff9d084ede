"""Classifiers trained by gradient descent on labelled images: a head alone, or all of the network."""
