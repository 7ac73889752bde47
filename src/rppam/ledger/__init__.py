"""The ledger: acts are recorded in the transaction that does them. Start at ``record.py``; ``merkle.py`` proves."""
