"""Corpus, training, evaluation and export of the denoiser: the only place that imports torch."""
