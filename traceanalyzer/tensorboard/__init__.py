"""A tab in TensorBoard with the report of every trace below its log directory.

`plugin` is all that TensorBoard imports; `routes` answers its browser tab, `logdir` finds and guards the files,
`jobs` does the work in the background.
"""
