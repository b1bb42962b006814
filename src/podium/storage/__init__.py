"""PostgreSQL, Valkey, the embedded servers of both, migrations and the artifact store."""
