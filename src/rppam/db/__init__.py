"""The cluster's database from asyncio: engine, lanes, fence, tables and their migrations. Start at ``database.py``."""
