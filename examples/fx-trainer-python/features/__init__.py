"""Indicators computed from minute bars."""
