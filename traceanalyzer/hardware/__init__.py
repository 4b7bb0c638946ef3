"""What a GPU can do at most: peaks per data type, bandwidth and cache, each figure with its source."""

from traceanalyzer.hardware.gpus import SHORT_NAMES, Choice, Gpu, Match, known_gpus, look_up, parse_peaks

__all__ = ["SHORT_NAMES", "Choice", "Gpu", "Match", "known_gpus", "look_up", "parse_peaks"]
