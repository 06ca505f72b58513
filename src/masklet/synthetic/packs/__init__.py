"""Packs: raw material with its licences, gathered from packages into one folder."""
