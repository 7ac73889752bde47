"""The composition root: plugs the parts together, and the mains of node, worker and witness."""
