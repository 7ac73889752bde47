"""A whole cluster on one machine, to watch and to break."""
