"""The common event model: what every source is turned into. Imports nothing above it."""
