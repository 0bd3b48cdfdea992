"""The ledger for many hosts: Redis or Valkey. Its modules need the extra `redis`, this one does not."""
