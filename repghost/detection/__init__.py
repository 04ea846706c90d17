"""Object detection and instance segmentation on the registry's networks (the paper's Table 4)."""
