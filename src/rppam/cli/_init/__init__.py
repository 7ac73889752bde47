"""What ``rppam init`` writes: the plan of a node's config, the files beside it, and the join bundle."""
