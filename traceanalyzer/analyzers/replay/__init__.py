"""What a step would take after a change: a graph of what waited for what, run again.

From below: `rows` are what moves, `graph` and `waits` say what waited for what, `meetings` join the ranks, `course` and
`together` run it, `fixes` and `straggler` say what a cure changes, `ranks` and `whatif` ask.
"""
