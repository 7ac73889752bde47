"""The virtual address: on the leader's host, and nowhere else."""
