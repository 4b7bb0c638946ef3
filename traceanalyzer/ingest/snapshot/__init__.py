"""Memory snapshots (torch.cuda.memory._snapshot): unpickle → walk → replay → tables.

`unpickle` loads plain containers and nothing else, while `stream` and `entries` see to it that the million entries are
never all in memory; `walk` turns the rest into columns, `replay` says how much was allocated after each entry,
`assemble` makes the tables. All of that runs in a process of its own (`worker`), started by the ingester (`read`).
"""
