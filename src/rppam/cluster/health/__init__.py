"""The cluster as one node sees it: the single source of every health answer."""
