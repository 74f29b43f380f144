"""Which company does an address belong to: website or e-mail text to registrable domain.

Pure functions and list files. No look-up is made here: whether the domain answers is `scan`'s question.
"""
