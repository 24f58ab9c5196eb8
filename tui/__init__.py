"""The terminal console: a live tree of what runs on some daemons.

Three layers. `model` (with `forest`, `hosts`, `filtering` and `wording`) is pure: news in, rows out.
`workers` are the threads that talk to daemons and hand over `news`. `app` and `widgets` show the model
and never wait for anything.
"""
