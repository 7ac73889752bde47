"""The program that is called as this node begins and ceases to lead: for addresses that only a cloud moves."""
