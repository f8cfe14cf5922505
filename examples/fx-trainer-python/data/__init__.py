"""Minute bars: reading, cleaning, synthesising, labelling and cutting them into windows."""
