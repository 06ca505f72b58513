"""Tracking jobs that write a folder and can be resumed."""
