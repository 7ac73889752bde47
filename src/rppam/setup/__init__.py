"""From nothing to a node, a witness and a Redis: what ``rppam init`` and ``rppam redis`` write."""
