"""Where it runs: device, memory, console, processes, signals, versions."""
