"""Nsight Compute's CSV pages → `kernel_metrics`: percentages of peak per profiled launch, and ncu's rules."""
