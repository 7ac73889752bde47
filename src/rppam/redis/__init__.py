"""Our Redis client: connection, link, Sentinel, TLS, scripts. It knows nothing of the product. Start at ``link.py``."""
