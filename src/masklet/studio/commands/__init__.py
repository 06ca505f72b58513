"""Commands of the studio, one module for each group. A public method is a command with its name."""
