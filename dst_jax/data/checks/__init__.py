"""What is wrong with a data set, and what training leaves out because of it."""
