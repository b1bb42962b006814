"""``python -m podium.server db COMMAND``: looking after the database, as a process that ends.

On standard output it writes lines of JSON: while it works ``{"step", "done", "of"}``, where the two
numbers are bytes or things of the step's own, and at the end ``{"result": {…}}``. An error is told
on standard error, as JSON too.
"""
