"""Metrics, the risk gate and the evaluation of a trained model."""
