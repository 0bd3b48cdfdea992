"""The ledger in PostgreSQL, which many hosts share. Needs the extra ``postgres``."""
