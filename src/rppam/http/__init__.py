"""HTTP: the server, its middleware, bounds, problems, and a client. It knows no feature."""
