"""Evaluation: how well a model's weights complete and repair real code, through the same engine that editors use.

`documents → cases → engine → measures → report`. Needs no torch. Knows nothing of training.
"""
