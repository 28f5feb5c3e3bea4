"""Objectives that tie seeds together."""
