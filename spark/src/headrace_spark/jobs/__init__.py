"""The jobs: a module each, whose ``run`` the registry names."""
