"""Adapters of masklet to other programs' Python interfaces, one package or module for each program."""
