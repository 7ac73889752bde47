"""Sub-commands of ``rppam cluster`` that work on this host alone."""
