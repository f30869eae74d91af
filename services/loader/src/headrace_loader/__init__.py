"""The loader: stages, archives and loads clean events."""
