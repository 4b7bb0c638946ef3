"""What a GPU can do at most: peaks per data type, bandwidth and cache, each row with its source."""

from traceanalyzer.hardware.gpus import Choice, Gpu, Match, known_gpus, look_up, parse_peaks

__all__ = ["Choice", "Gpu", "Match", "known_gpus", "look_up", "parse_peaks"]
