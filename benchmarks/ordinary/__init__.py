"""The ordinary alternatives: what a capable team writes first, with the libraries' defaults."""
