"""Compiled loops of the CPU engine (numba; no compiler is needed at run time).

They are generic in the float type, release the interpreter lock, and each computes a sum in an order that depends on
sizes only: what a seed gets is the same bits in a stack or alone, and with any number of threads.
"""
