"""WHERE networks are timed: this machine's CPU, a phone behind adb, a GPU; one class each."""
