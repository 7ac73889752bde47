"""What happened to leadership, members and the store, in a file of its own."""
