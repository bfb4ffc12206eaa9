"""Measures, protocols and reports."""
