"""`dst-jax ablate`: rows of the tables, planned, run and set beside the paper's."""
