"""SSH itself: what the gateway's process does with connections. Nothing outside it imports asyncssh."""
