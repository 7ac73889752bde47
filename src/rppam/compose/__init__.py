"""The composition root: the only place that imports both the runtime and the adapters. Reads as a parts list."""
