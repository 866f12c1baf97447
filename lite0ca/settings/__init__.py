"""What a run is told: Config, presets, systems, flags. Standard library only."""
