"""What an administrator orders of the cluster, checked against what the node knows."""
