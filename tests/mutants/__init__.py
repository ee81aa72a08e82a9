"""Random changes to tokens that are valid, compared with an oracle under random configurations."""
