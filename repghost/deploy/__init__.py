"""What the phone runs: fuse, export to MNN, certificate, graph fingerprint."""
