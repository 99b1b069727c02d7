"""The database's schema, step by step; shipped with the package and run when the database is opened."""
