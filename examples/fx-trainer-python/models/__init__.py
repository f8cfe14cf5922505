"""The network and the tasks it learns."""
