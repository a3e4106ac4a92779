"""The heads of networks, one file per family, with their answers and a builder."""
