"""Figures for people, from plain rows and arrays."""
