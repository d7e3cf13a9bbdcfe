"""Configuration, devices, learning rate schedules, callbacks and checkpoints."""
