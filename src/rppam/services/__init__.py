"""Application services: accounts, tokens, licence. They use ports and never the network themselves."""
