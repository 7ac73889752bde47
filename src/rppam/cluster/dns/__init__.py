"""The DNS name of a cluster: it points to the leader's host, by dynamic updates (RFC 2136) signed with TSIG."""
