"""The training loops and what a loop needs: losses, early stopping, checkpoints."""
