"""A whole cluster on one machine: its processes, how it is watched, and how it is shown."""
