"""The member link: direct, authenticated and encrypted connections between the members of a cluster."""
