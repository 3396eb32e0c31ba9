"""The client of Redis and Redis Cluster; the library of that name is imported here alone."""
