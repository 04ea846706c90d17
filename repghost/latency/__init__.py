"""HOW FAST: devices, protocols and the store of measurements; needs MNN, not torch."""
