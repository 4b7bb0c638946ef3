"""Memory snapshots (torch.cuda.memory._snapshot): unpickle → walk → replay → tables.

`unpickle` loads plain containers and nothing else, `walk` turns them into columns, `replay` says how much was
allocated after each entry, `read` puts the trace together; all four run in a process of their own (`worker`).
"""
